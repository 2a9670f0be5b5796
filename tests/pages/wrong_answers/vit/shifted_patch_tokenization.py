# Exercise 1: five times as many tokens
num_tokens = 5 * (72 // 6) ** 2
num_numbers = 6 * 6 * 3
num_pixels = (6 + 3) ** 2


# Exercise 2: right for even sizes only
def pixels_seen(P):
    return (2 * P) ** 2


# Exercise 3: moved the other way
def shift_straight(x, s):
    H, W = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (s, s), (s, s), (0, 0)))
    starts = [(s, s), (2 * s, s), (s, 2 * s), (s, 0), (0, s)]
    crops = [padded[:, i : i + H, j : j + W] for i, j in starts]
    return np.concatenate(crops, axis=-1)


# Exercise 4: the last group overwrites what the others gave
def as_kernel(weights, P, C):
    groups = weights.reshape(P, P, 5, C, -1)
    kernel = np.zeros((2 * P, 2 * P, C, weights.shape[-1]))
    starts = [(P // 2, P // 2), (0, 0), (0, P), (P, 0), (P, P)]
    for group, (i, j) in enumerate(starts):
        kernel[i : i + P, j : j + P] = groups[:, :, group]
    return kernel
