"""The message board: its application factory.

Settings come from here, then `instance/config.py`, then `BOARD_` environment variables. What the
pages do is in the blueprints `accounts`, `posts` and `outbox`.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demijohn import Demijohn, Response

from . import accounts, csrf, database, errors, mailing, outbox, posts, text

# Everything the pages load comes from this server, and nobody may frame them.
CONTENT_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


def create_app(test_config: Mapping[str, Any] | None = None) -> Demijohn:
    """Return a board that is ready to serve; its database is made when there is none yet.

    With `test_config` neither the instance folder's file nor the environment is read.
    """
    app = Demijohn(__name__, instance_relative_config=True)
    app.config.from_mapping(
        DATABASE=os.path.join(app.instance_path, "board.sqlite3"),
        TITLE="Corkboard",
        PAGE_SIZE=8,
        PASSWORD_METHOD="scrypt",
        SAMPLES=True,
        MAX_CONTENT_LENGTH=128 * 1024,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    if test_config is None:
        app.config.from_pyfile("config.py", silent=True)
        app.config.from_prefixed_env("BOARD")
    else:
        app.config.from_mapping(test_config)
    if not app.config["SECRET_KEY"]:
        app.config["SECRET_KEY"] = kept_secret(Path(app.instance_path))

    database.init_app(app)
    mailing.init_app(app)
    text.init_app(app)
    errors.init_app(app)
    # The member is loaded before the form's token is checked: an error page shows who is logged in.
    app.register_blueprint(accounts.bp)
    csrf.init_app(app)
    app.register_blueprint(posts.bp)
    app.register_blueprint(outbox.bp)
    app.after_request(add_safe_headers)

    with app.app_context():
        database.make_ready()
    return app


def add_safe_headers(response: Response) -> Response:
    """Tell the browser to load nothing from elsewhere and to guess no content types."""
    response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response


def kept_secret(folder: Path) -> str:
    """Return the signing key kept in `folder`; the first start makes one.

    The file appears complete or not at all, so that workers that start together share one key.
    """
    path = folder / "secret_key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as draft:
            draft.write(secrets.token_hex(32))
        try:
            os.link(draft.name, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(draft.name)
    return path.read_text()
