# Exercise 1: the decay without the learning rate
gone_example = 1 - (1 - 1e-4) ** 14_080
gone_fixed = 1 - (1 - 0.05) ** 14_080


# Exercise 2: rates added
def merged_rate(p):
    return 2 * p


# Exercise 3: the standard deviation of one image
def accuracy_deviation(p, num_images):
    return 100 * (p * (1 - p)) ** 0.5


# Exercise 4: two fields changed
def one_change(recipe):
    return replace(recipe, learning_rate=3e-3, epochs=4)
