"""The standard library's server with the application: `python -m wsgiref_server PORT`."""

from __future__ import annotations

import sys
from wsgiref.simple_server import make_server

from served_site import app

if __name__ == "__main__":
    with make_server("127.0.0.1", int(sys.argv[1]), app) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
