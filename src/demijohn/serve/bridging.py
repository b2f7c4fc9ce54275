"""What both bridges to the other protocol have in common: a2wsgi, and which headers may pass."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any
from wsgiref.util import is_hop_by_hop

from .mounted import Mount


def need_a2wsgi(mount: Mount, edge: str) -> Any:
    """The package a2wsgi; `RuntimeError` that says how to install it."""
    try:
        return importlib.import_module("a2wsgi")
    except ModuleNotFoundError as error:
        if error.name != "a2wsgi":
            raise
        raise RuntimeError(
            f"What is mounted at {mount.prefix!r} (at {mount.site}) is called by"
            f" {mount.interface.upper()}, and the server calls by {edge}. a2wsgi translates, and is"
            ' not installed: pip install "demijohn[mounts]"'
        ) from error


def sendable(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that may pass a bridge: none that belong to one connection.

    `ValueError` for one that would end its line: not every server looks.
    """
    found = []
    for name, value in headers:
        if any(byte in name + value for byte in b"\r\n\0"):
            raise ValueError(f"A header with a control character: {name!r}: {value!r}")
        if not is_hop_by_hop(name.decode("latin-1")):
            found.append((name, value))
    return found
