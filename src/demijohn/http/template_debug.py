"""The account of how a template was looked for, for `EXPLAIN_TEMPLATE_LOADING`.

Writes the text only; looking and logging are the loader's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jinja2 import BaseLoader

_HELP = "https://flask.palletsprojects.com/blueprints/#templates"


class Attempt(NamedTuple):
    """One loader that was asked for a template."""

    loader: BaseLoader
    owner: object
    """The application or blueprint whose loader it is."""
    found: str | None
    """The file that it found, `<string>` where a source has no file, None for no match."""


def explain(app: object, template: str, attempts: Sequence[Attempt], blueprint: str | None) -> str:
    """Return the account of the attempts to find a template, in the order they were made.

    `blueprint` is the name of the blueprint that answers the current request, if one does: it
    is named when no loader or more than one had the template.
    """
    lines = [f"Locating template {template!r}:"]
    for number, attempt in enumerate(attempts, 1):
        lines.append(f"{number:5}: trying loader of {_owner(app, attempt.owner)}")
        lines += [f"       {line}" for line in _describe(attempt.loader)]
        result = "no match" if attempt.found is None else f"found ({attempt.found!r})"
        lines.append(f"       -> {result}")

    matches = sum(attempt.found is not None for attempt in attempts)
    if matches == 0:
        lines.append("Error: the template could not be found.")
    elif matches > 1:
        lines.append("Warning: multiple loaders returned a match for the template.")
    if matches != 1 and blueprint is not None:
        lines += [
            "  The template was looked up from an endpoint that belongs to the blueprint"
            f" {blueprint!r}.",
            "  Is it in the folder that this blueprint takes its templates from?",
            f"  See {_HELP}",
        ]
    return "\n".join(lines)


def _owner(app: object, owner: object) -> str:
    """Return how an account names whose loader it is."""
    import_name = getattr(owner, "import_name", None)
    if owner is app:
        return f"application {import_name!r}"
    name = getattr(owner, "name", None)
    if name is None or import_name is None:
        return repr(owner)
    return f"blueprint {name!r} ({import_name})"


def _describe(loader: BaseLoader) -> Iterator[str]:
    """Yield lines with a loader's class and those public attributes that are plain values."""
    yield f"class: {type(loader).__module__}.{type(loader).__name__}"
    for name, value in sorted(vars(loader).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, (str, int, float)):
            yield f"{name}: {value!r}"
        elif isinstance(value, (tuple, list)) and all(isinstance(item, str) for item in value):
            yield f"{name}:"
            for item in value:
                yield f"  - {item}"
