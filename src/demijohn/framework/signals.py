"""The signals that the framework sends, Flask's ten, on Blinker. It connects to none of them.

All have the application as sender. Receivers get these keyword arguments besides:

- `template_rendered`, `before_render_template`: `template`, `context`
- `request_started`: none; `request_finished`: `response`
- `got_request_exception`: `exception`
- `request_tearing_down`, `appcontext_tearing_down`: `exc`, the unhandled exception or None
- `appcontext_pushed`, `appcontext_popped`: none
- `message_flashed`: `message`, `category`
"""

from __future__ import annotations

from typing import Any

from blinker import Namespace, Signal

# Not Blinker's default namespace: a signal that someone else names alike is another signal.
_signals = Namespace()

template_rendered = _signals.signal("template-rendered")
before_render_template = _signals.signal("before-render-template")
request_started = _signals.signal("request-started")
request_finished = _signals.signal("request-finished")
request_tearing_down = _signals.signal("request-tearing-down")
got_request_exception = _signals.signal("got-request-exception")
appcontext_tearing_down = _signals.signal("appcontext-tearing-down")
appcontext_pushed = _signals.signal("appcontext-pushed")
appcontext_popped = _signals.signal("appcontext-popped")
message_flashed = _signals.signal("message-flashed")


def send_signal(app: Any, signal: Signal, /, **what: Any) -> None:
    """Send a signal of the application's, of which it was asked whether anybody receives it."""
    signal.send(app, _async_wrapper=app.ensure_sync, **what)
