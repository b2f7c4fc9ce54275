"""Stands for work that takes long: a language model, another service, a large file."""

from __future__ import annotations

import time

from flask import current_app


def complete(prompt: str) -> str:
    """Return the model's answer after the seconds that the setting `MODEL_SECONDS` gives."""
    time.sleep(current_app.config["MODEL_SECONDS"])
    return f"{prompt} It depends."
