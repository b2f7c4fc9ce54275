"""The debug page `/_contexts`: live contexts as HTML, and in JSON's form for `?format=json`.

Who may see it is decided before (`serve.debug_pages`); the application is never called for it, so
the page's own request is no context.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from werkzeug.wrappers import Response

from demijohn.serve.debug_pages import Answer

from .records import Snapshot, age_text
from .watch import Watch

_ASSETS = Path(__file__).parent / "assets"
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " connect-src 'self'; img-src data:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'"
)


@contextmanager
def contexts_page() -> Iterator[Answer]:
    """The entry point of `demijohn.debug_pages`: contexts are watched while the block runs."""
    with Watch() as watch:
        yield partial(answer, watch)


def answer(watch: Watch, query: Mapping[str, str]) -> Response:
    """The page, or with `format=json` the snapshot and the page's changing part as `html`."""
    snapshot = watch.snapshot()
    if query.get("format") == "json":
        body = snapshot.plain()
        if "html" in query.get("with", ""):
            body["html"] = render("tree.html", snapshot)
        return Response(json.dumps(body), mimetype="application/json")
    nonce = secrets.token_urlsafe()
    response = Response(render("page.html", snapshot, nonce), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
    return response


def render(template: str, snapshot: Snapshot, nonce: str = "") -> str:
    """One of the templates under `assets`, for a snapshot."""
    environment = Environment(
        loader=FileSystemLoader(_ASSETS), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["age"] = age_text
    return environment.get_template(template).render(snapshot=snapshot, nonce=nonce)
