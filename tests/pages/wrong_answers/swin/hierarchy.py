import numpy as np

# Exercise 1: height and width exchanged; the tokens counted without their channels
last_shape = (5, 3, 128)
relative = 1 / 16


# Exercise 2: the four neighbours of a channel side by side
def pooling_kernel(C):
    return np.repeat(np.eye(C), 4, axis=0) / 4


# Exercise 3: the other two neighbours change places
def reorder(kernel):
    four = kernel.reshape(4, -1, kernel.shape[1])
    return four[[3, 1, 2, 0]].reshape(kernel.shape)


# Exercise 4: no padding
def swin_block_macs(height, width, C, M, mlp_ratio):
    return height * width * (4 * C * C + 2 * M**2 * C + 2 * mlp_ratio * C * C)
