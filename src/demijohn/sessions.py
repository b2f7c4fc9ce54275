"""Flask's path to sessions; they live in `demijohn.http.sessions`."""

from .http.json_tag import TaggedJSONSerializer as TaggedJSONSerializer
from .http.sessions import NullSession as NullSession
from .http.sessions import SecureCookieSession as SecureCookieSession
from .http.sessions import SecureCookieSessionInterface as SecureCookieSessionInterface
from .http.sessions import SessionInterface as SessionInterface
from .http.sessions import SessionMixin as SessionMixin
from .http.sessions import session_json_serializer as session_json_serializer

__all__ = (
    "NullSession",
    "SecureCookieSession",
    "SecureCookieSessionInterface",
    "SessionInterface",
    "SessionMixin",
    "session_json_serializer",
)
