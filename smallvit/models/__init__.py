"""Whole models, how they start, what is inside them and what they cost."""
