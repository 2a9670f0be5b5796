# Exercise 1: standard deviations added instead of variances
def difference_error(p, q, n):
    spread = (p * (1 - p) / n) ** 0.5 + (q * (1 - q) / n) ** 0.5
    return round(100 * spread, 1)


# Exercise 2: steps over images, without the batch
seen_small, seen_large = 250 / 500, 250 / 4000


# Exercise 3: the same pixels, whatever their patches
def same_patches(before, after, size):
    return np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
