"""Layers, and the functions on arrays that they are made of.

Importing this package registers every layer with Keras, which loads saved models by name.
"""

from smallvit.layers import blocks, patches, tokens

__all__ = ["blocks", "patches", "tokens"]
