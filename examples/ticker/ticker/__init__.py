"""A price ticker: a page that shows prices as they change, by server-sent events.

The prices are made up by `market`, which runs as long as the server does. `ring` keeps the last
events, for the clients that watch and for those that come back; `views` sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demijohn import Demijohn


def create_app(test_config: Mapping[str, Any] | None = None) -> Demijohn:
    """Return the application. Prices change while it is served by ASGI, or in `app.serving()`."""
    from . import market, views
    from .ring import Ring

    app = Demijohn(__name__)
    app.config.from_mapping(
        PERIOD=0.5,  # seconds from one change to the next
        HEARTBEAT=15.0,  # seconds of silence after which a stream says that it is alive
        KEPT=200,  # events that are kept for clients that come back
    )
    app.config.from_prefixed_env("TICKER")
    app.config.from_mapping(test_config or {})
    app.extensions["ring"] = Ring(app.config["KEPT"])
    app.while_serving(market.trade)
    app.register_blueprint(views.bp)
    return app
