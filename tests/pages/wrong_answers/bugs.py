# Exercise 1: a square crop, at which the fault does not show
shape, size = (1, 4, 6, 1), (2, 2)


# Exercise 2: outside training nothing is dropped, and both layers look healthy
def healthy(layer):
    out = ops.convert_to_numpy(layer(ops.ones((4000, 1))))
    return abs(out.mean() - 1) < 0.1


# Exercise 3: the same variables before and after, not copies of their values
def unmoved(model, x, y):
    before = list(model.trainable_weights)
    model.train_on_batch(x, y)
    pairs = zip(model.trainable_weights, before, strict=True)
    return sorted(w.path for w, b in pairs if (w.numpy() == b.numpy()).all())
