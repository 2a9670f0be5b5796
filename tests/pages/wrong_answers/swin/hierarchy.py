import numpy as np

# Exercise 1: height and width exchanged; the tokens counted without their channels
last_shape = (5, 3, 128)
relative = 1 / 16


# Exercise 2: right before down
def edge_kernel(C):
    pattern = np.array([[1, -2], [1, 2], [1, -2], [1, 2]]) / 4
    return np.kron(pattern, np.eye(C))


# Exercise 3: the other two neighbours change places
def reorder(kernel):
    four = kernel.reshape(4, -1, kernel.shape[1])
    return four[[3, 1, 2, 0]].reshape(kernel.shape)


# Exercise 4: no padding
def swin_block_macs(height, width, C, M, mlp_ratio):
    return height * width * (4 * C * C + 2 * M**2 * C + 2 * mlp_ratio * C * C)
