import numpy as np


# Exercise 1: the maximum of the whole array, not of each row
def safe_softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum(axis=-1, keepdims=True)


# Exercise 2: the opposite of everything finds the balls
W_q = -np.eye(3)


# Exercise 3: neighbouring numbers, also from the end of a row to the start of the next
def neighbour_mask(height, width):
    n = np.arange(height * width)
    apart = np.abs(n[:, None] - n)
    return np.where(np.isin(apart, [0, 1, width - 1, width, width + 1]), 0, -100)
