"""Show the built book on this machine: `make serve`."""

import functools
import http.server
import sys
from pathlib import Path

PAGES = Path(__file__).parents[1] / "_build" / "html"


def main(port):
    """Serve the pages at `port` until interrupted."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=PAGES)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        sys.exit(
            f"{port!r} is not a port: give a number from 1 to 65535, as in make serve PORT=8001"
        )
    try:
        server = http.server.ThreadingHTTPServer(("localhost", int(port)), handler)
    except OSError as error:
        sys.exit(
            f"Port {port} cannot be used ({error.strerror}): choose another, as in "
            f"make serve PORT={int(port) % 65535 + 1}"
        )
    print(f"The book is at http://localhost:{port}/ (Ctrl-C stops)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
