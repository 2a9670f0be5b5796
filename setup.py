"""Add the recorded runs to the packages found; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["smallvit*"]), "smallvit.recorded"])
