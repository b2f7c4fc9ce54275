"""Flask's path to JSON providers; they live in `demijohn.http.json_provider`."""

from ..http.json_provider import DefaultJSONProvider as DefaultJSONProvider
from ..http.json_provider import JSONProvider as JSONProvider
from ..http.json_provider import _default as _default

__all__ = ("DefaultJSONProvider", "JSONProvider")
