# Exercise 1: all heads for each block, of whatever stage
def num_temperatures(depths, num_heads):
    return sum(depths) * sum(num_heads)


# Exercise 2: the norm covers one copy of the patch, not five
def shifts_add(P, C, D):
    pixels = P * P * C
    return 4 * pixels * D + 2 * pixels


# Exercise 3: the norm of the tokens stays
pixels_only = parameters["swin"] + 48 * 96 + 2 * 60
