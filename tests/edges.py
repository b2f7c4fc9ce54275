"""The edge that this run of the tests goes through, for tests that call an application themselves.

`DEMIJOHN_TEST_EDGE=asgi` sends the test clients' requests, and what `called` stands in front of, to
the ASGI edge. Tests that are about WSGI itself have the marker `wsgi_only`.
"""

from __future__ import annotations

import os
from typing import Any

EDGE = os.environ.get("DEMIJOHN_TEST_EDGE") or "wsgi"


def called(app: Any) -> Any:
    """What to call with an environ and `start_response` for a request at this run's edge.

    Flask's applications have one edge.
    """
    if EDGE == "wsgi" or not hasattr(app, "asgi_app"):
        return app
    from demijohn.testing.asgi_run import caller

    return caller(app)
