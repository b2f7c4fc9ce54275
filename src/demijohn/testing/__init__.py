"""What applications use to test themselves: the client and the command-line runner."""

from werkzeug.wrappers import Request as BaseRequest

from ..cli.discover import ScriptInfo as ScriptInfo
from ..http.sessions import SessionMixin as SessionMixin
from .client import EnvironBuilder as EnvironBuilder
from .client import FlaskClient as FlaskClient
from .client import LastRequest as LastRequest
from .runner import FlaskCliRunner as FlaskCliRunner

__all__ = ("BaseRequest", "EnvironBuilder", "FlaskCliRunner", "FlaskClient", "LastRequest")
