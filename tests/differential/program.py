"""The source of an example: what the sides run, and what is printed when they differ."""

from __future__ import annotations

from .kit import HEADER
from .model import Call, Example


def source(example: Example) -> str:
    """The program that makes `app`."""
    lines = list(example.setup)
    for part in example.parts:
        lines += ["", *part.lines]
    return "\n".join([*lines, "", *example.closing, ""])


def printed(example: Example, upto: int | None = None) -> str:
    """The whole program, with the calls, to run in the repository's root."""
    calls = example.calls if upto is None else example.calls[: upto + 1]
    body = [HEADER, source(example), "caller = side.Caller(flask, app, ASKED, log)"]
    body += [f"print(caller.call({written(call)}))" for call in calls]
    return "\n".join(body)


def written(call: Call) -> str:
    """A call as source, without what it has in common with most."""
    fields = vars(call)
    usual = vars(Call())
    told = {
        name: value
        for name, value in fields.items()
        if name != "features" and (value != usual[name] or name in ("method", "path"))
    }
    return "side.Call(" + ", ".join(f"{name}={value!r}" for name, value in told.items()) + ")"
