import numpy as np

# Exercise 1: one pass, and the smaller batch kept
num_steps = -(-7_200 // 64) * 20


# Exercise 2: seed and epoch added up
def places(seed, epoch, n):
    order = np.random.default_rng(seed + epoch).permutation(1_000)
    return order[100 * n : 100 * n + 100]


# Exercise 3: the mean of the batches' figures
def statistics(batches):
    means = [batch.mean(axis=(0, 1, 2)) for batch in batches]
    spreads = [batch.std(axis=(0, 1, 2)) for batch in batches]
    return np.stack([np.mean(means, axis=0), np.mean(spreads, axis=0)])
