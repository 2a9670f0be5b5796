# Exercise 1: the own weight is spread over the others by addition, not in proportion
def growth(own):
    return 1 + own


# Exercise 2: decay makes every weight smaller, but a divisor's factor larger
def decayed(steps, rate, decay, acts_as):
    return 0.125 * (1 - rate * decay) ** steps


# Exercise 3: the covariance left out, as if tokens were white
def lead_from(cov, W_q, W_k):
    return np.trace(W_q.T @ W_k)
