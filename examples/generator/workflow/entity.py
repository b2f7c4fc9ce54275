"""What a run is started with: plain data, validated once, safe to hand to another thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from werkzeug.exceptions import BadRequest

Mode = Literal["streaming", "blocking"]

MOST_SECTIONS = 8
MOST_LETTERS = 200


@dataclass(frozen=True)
class RunRequest:
    """One request for an article."""

    topic: str
    sections: tuple[str, ...]
    mode: Mode

    @classmethod
    def from_json(cls, data: Any) -> RunRequest:
        """Validate the body of a request; raises `BadRequest` that says what is wrong."""
        if not isinstance(data, dict) or not isinstance(data.get("inputs"), dict):
            raise BadRequest('Send {"inputs": {"topic": "…", "sections": ["…"]}}.')
        inputs = data["inputs"]
        sections = inputs.get("sections", ["Introduction"])
        if not isinstance(sections, list) or not 1 <= len(sections) <= MOST_SECTIONS:
            raise BadRequest(f"'sections' is a list of 1 to {MOST_SECTIONS} texts.")
        mode = data.get("response_mode", "streaming")
        if mode not in ("streaming", "blocking"):
            raise BadRequest("'response_mode' is 'streaming' or 'blocking'.")
        return cls(
            _text(inputs.get("topic"), "topic"),
            tuple(_text(section, "sections") for section in sections),
            mode,
        )


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MOST_LETTERS:
        raise BadRequest(f"'{name}' is a text of 1 to {MOST_LETTERS} letters.")
    return value.strip()
