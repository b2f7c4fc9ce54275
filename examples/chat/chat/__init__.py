"""A chat with rooms: pages by HTTP, what is said by WebSocket.

`rooms` knows who is in which room, and gives each of them what is said there; `views` are the pages
and the WebSocket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demijohn import Demijohn


def create_app(test_config: Mapping[str, Any] | None = None) -> Demijohn:
    """Return the application."""
    from . import views
    from .rooms import Rooms

    app = Demijohn(__name__)
    app.config.from_mapping(
        SECRET_KEY="only for trying it out",
        KEPT=50,  # messages of a room that a newcomer gets
        WAITING=100,  # messages that may wait for one member, who is sent away after that
        LONGEST=1000,  # characters of a message
    )
    app.config.from_prefixed_env("CHAT")
    app.config.from_mapping(test_config or {})
    app.extensions["rooms"] = Rooms(app.config["KEPT"], app.config["WAITING"])
    app.register_blueprint(views.bp)
    return app


app = create_app()
