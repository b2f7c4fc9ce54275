"""gunicorn's configuration by which its WSGI workers say that they serve, and when they stop."""

from __future__ import annotations

from typing import Any

from faults_site import app


def post_worker_init(worker: Any) -> None:
    worker.serving = app.serving()
    worker.serving.__enter__()


def worker_exit(server: Any, worker: Any) -> None:
    if hasattr(worker, "serving"):
        worker.serving.__exit__(None, None, None)
