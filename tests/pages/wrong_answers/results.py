# Exercise 1: the standard deviation of the difference instead of its standard error
a, b = np.array([44.1, 44.9, 44.5]), np.array([45.0, 45.6, 45.3])
difference = b.mean() - a.mean()
standard_error = np.sqrt(a.var(ddof=1) + b.var(ddof=1))


# Exercise 2: the largest of all draws
def flattery(n, s, rng):
    return s * rng.normal(size=(10_000, n)).max()
