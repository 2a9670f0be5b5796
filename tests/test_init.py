import inspect
import subprocess
import sys

import pytest

import smallvit


@pytest.mark.parametrize("name", smallvit.__all__)
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(smallvit, name)
    assert name in dir(smallvit)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert inspect.getdoc(thing)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'window'"):
        _ = smallvit.window


def test_importing_the_package_does_not_import_keras_or_tensorflow():
    check = "import smallvit, sys; print({'keras', 'tensorflow'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
