"""Layers, and the functions on arrays that they are made of."""
