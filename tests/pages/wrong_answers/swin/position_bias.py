# Exercise 1: offsets counted from 0 to 6, and from -7 to 7
num_parameters = 7 * 7 * 3
num_pairs = 14 * 14


# Exercise 2: rows of the table as long as the window is high
def offset_of(entry, height, width):
    down, right = divmod(entry, 2 * height - 1)
    return down - (height - 1), right - (width - 1)


# Exercise 3: key minus query, so that tokens look up
def table_looking_down(height, width):
    table = np.zeros((2 * height - 1, 2 * width - 1))
    table[height, width - 1] = 20
    return table.ravel()


# Exercise 4: turned by half a turn
def mirrored(table, height, width):
    return table[::-1]
