"""`make serve` shows the book, or says in one sentence why it cannot."""

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "serve.py"


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def serve(port):
    command = [sys.executable, SCRIPT, str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_a_busy_port_gets_one_sentence(port):
    with socket.socket() as busy:
        busy.bind(("localhost", port))
        busy.listen()
        done = serve(port)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"Port {port} cannot be used" in done.stderr
    assert "make serve PORT=" in done.stderr


@pytest.mark.parametrize("port", ["", "http", "-1", "0", "65536", "8000; ls", "١"])
def test_a_bad_port_gets_one_sentence(port):
    done = serve(port)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{port!r} is not a port" in done.stderr


def test_it_serves_until_it_is_interrupted(tmp_path, port):
    (tmp_path / "tools").mkdir()
    (tmp_path / "_build" / "html").mkdir(parents=True)
    (tmp_path / "_build" / "html" / "index.html").write_text("the book")
    copy = tmp_path / "tools" / "serve.py"
    copy.write_bytes(SCRIPT.read_bytes())
    command = [sys.executable, str(copy), str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as server:
        assert f"http://localhost:{port}/" in server.stdout.readline()
        with urllib.request.urlopen(f"http://localhost:{port}/") as answer:
            assert answer.read() == b"the book"
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Traceback" not in errors
