# Exercise 1: five times as many tokens
num_tokens = 5 * (72 // 6) ** 2
num_numbers = 6 * 6 * 3
num_pixels = (6 + 3) ** 2


# Exercise 2: moved the other way
def shift_straight(x, s):
    H, W = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (s, s), (s, s), (0, 0)))
    starts = [(s, s), (2 * s, s), (s, 2 * s), (s, 0), (0, s)]
    crops = [padded[:, i : i + H, j : j + W] for i, j in starts]
    return np.concatenate(crops, axis=-1)


# Exercise 3: the own patch gets the kernel's middle on top of the quarters
def as_weights(kernel, P, C):
    groups = np.zeros((P, P, 5, C, kernel.shape[-1]), kernel.dtype)
    starts = [(P // 2, P // 2), (0, 0), (0, P), (P, 0), (P, P)]
    for group, (i, j) in enumerate(starts):
        groups[:, :, group] = kernel[i : i + P, j : j + P]
    return groups.reshape(5 * P * P * C, -1)
