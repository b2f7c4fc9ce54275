"""What applications use to test themselves: client, command-line runner, sequencer, fake clock.

The pytest plugin, `demijohn.testing.plugin`, is loaded by pytest alone.
"""

from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request as BaseRequest

from ..cli.discover import ScriptInfo as ScriptInfo
from ..http.sessions import SessionMixin as SessionMixin
from .client import EnvironBuilder as EnvironBuilder
from .client import FlaskClient as FlaskClient
from .client import LastRequest as LastRequest
from .clock import FakeClock as FakeClock
from .runner import FlaskCliRunner as FlaskCliRunner
from .sequencer import SequenceError as SequenceError
from .sequencer import Sequencer as Sequencer
from .watch import wait_for_children as wait_for_children

if TYPE_CHECKING:
    from .async_client import AsyncClient as AsyncClient
    from .async_client import StreamedResponse as StreamedResponse

__all__ = (
    "AsyncClient",
    "BaseRequest",
    "EnvironBuilder",
    "FakeClock",
    "FlaskCliRunner",
    "FlaskClient",
    "LastRequest",
    "SequenceError",
    "Sequencer",
    "StreamedResponse",
    "wait_for_children",
)


def __getattr__(name: str) -> Any:
    """What loads asyncio, at its first use."""
    if name in ("AsyncClient", "StreamedResponse"):
        from . import async_client

        return getattr(async_client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
