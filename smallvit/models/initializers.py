"""Initial distributions of weights, as plain values that a record can hold and Keras reads."""


def normal(stddev: float) -> dict:
    """A normal distribution with mean 0, not truncated."""
    return {"class_name": "RandomNormal", "config": {"stddev": stddev}}


def uniform(limit: float) -> dict:
    """A uniform distribution from `-limit` to `limit`."""
    return {"class_name": "RandomUniform", "config": {"minval": -limit, "maxval": limit}}


def _scaled(scale: float, mode: str, distribution: str) -> dict:
    config = {"scale": scale, "mode": mode, "distribution": distribution}
    return {"class_name": "VarianceScaling", "config": config}


TORCH_LINEAR = _scaled(1 / 3, "fan_in", "uniform")
"""How `torch.nn.Linear` and convolutions start, kernels and biases: U(+-fan_in ** -0.5)."""

XAVIER_NORMAL = _scaled(1.0, "fan_avg", "untruncated_normal")
"""`torch.nn.init.xavier_normal_`; Keras's `glorot_normal` is truncated."""
