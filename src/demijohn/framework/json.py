"""The JSON functions that use the current application's provider; `jsonify` is in `helpers`."""

from __future__ import annotations

import json as _json
from typing import IO, Any

from ..http.json_provider import _default
from .globals import _cv_app


def dumps(obj: Any, **kwargs: Any) -> str:
    """Serialise `obj` as JSON, by the application's provider where one is current."""
    ctx = _cv_app.get(None)
    if ctx is not None:
        text: str = ctx.app.json.dumps(obj, **kwargs)
        return text
    kwargs.setdefault("default", _default)
    return _json.dumps(obj, **kwargs)


def dump(obj: Any, fp: IO[str], **kwargs: Any) -> None:
    """Serialise `obj` as JSON into a text file."""
    ctx = _cv_app.get(None)
    if ctx is not None:
        ctx.app.json.dump(obj, fp, **kwargs)
        return
    kwargs.setdefault("default", _default)
    _json.dump(obj, fp, **kwargs)


def loads(s: str | bytes, **kwargs: Any) -> Any:
    """Read JSON from text or bytes."""
    ctx = _cv_app.get(None)
    return _json.loads(s, **kwargs) if ctx is None else ctx.app.json.loads(s, **kwargs)


def load(fp: IO[Any], **kwargs: Any) -> Any:
    """Read JSON from a file."""
    ctx = _cv_app.get(None)
    return _json.load(fp, **kwargs) if ctx is None else ctx.app.json.load(fp, **kwargs)
