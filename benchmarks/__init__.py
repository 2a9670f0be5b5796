"""This package against the published example code, in one run."""
