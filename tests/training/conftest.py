"""A run of three epochs: finished, stopped after its first, and a copy of that to spoil."""

import shutil

import pytest
from samples import TINY, tiny_dataset

from smallvit.training.loop import train
from smallvit.training.runtime import Session


@pytest.fixture(scope="session")
def dataset():
    return tiny_dataset()


@pytest.fixture(scope="session")
def finished(dataset, tmp_path_factory):
    """A run that was left alone: the folder it wrote to, and its record."""
    out = tmp_path_factory.mktemp("finished")
    return out, train(TINY, dataset, out, seed=3, command="as typed")


@pytest.fixture(scope="session")
def begun(dataset, tmp_path_factory):
    """The same run, stopped by a time limit after its first epoch."""
    out = tmp_path_factory.mktemp("begun")
    hurried = Session(time_limit=1e-3)
    return out, train(TINY, dataset, out, seed=3, command="as typed", session=hurried)


@pytest.fixture
def copied(begun, tmp_path):
    """A copy of the stopped run to spoil: its folder and its state."""
    shutil.copytree(begun[0], tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "tiny" / "seed-3" / "state.npz"
