"""What applications use to test themselves: client, command-line runner, sequencer, fake clock.

The pytest plugin, `demijohn.testing.plugin`, is loaded by pytest alone.
"""

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

__all__ = (
    "BaseRequest",
    "EnvironBuilder",
    "FakeClock",
    "FlaskCliRunner",
    "FlaskClient",
    "LastRequest",
    "SequenceError",
    "Sequencer",
    "wait_for_children",
)
