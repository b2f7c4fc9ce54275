"""What applications use to test themselves: the client and the command-line runner."""

from .client import EnvironBuilder as EnvironBuilder
from .client import FlaskClient as FlaskClient
from .client import LastRequest as LastRequest
from .runner import FlaskCliRunner as FlaskCliRunner

__all__ = ("EnvironBuilder", "FlaskCliRunner", "FlaskClient", "LastRequest")
