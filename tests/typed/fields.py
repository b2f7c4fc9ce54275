"""What type checkers make of fields. Never run: `tools/check` gives it to mypy and pyright.

A line that must be an error says so by an ignore comment, which both report when there is none.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import Any, assert_type

from demijohn import ContextField, Demijohn, app_ctx
from demijohn.context import Context, ContextStack
from demijohn.context import ContextField as CoreField

locale = ContextField("locale", default="en")
tenant = ContextField[str | None]("tenant", default=None, carries=True)
roles = ContextField[list[str]]("roles", default_factory=list)
user: ContextField[int] = ContextField("user")

assert_type(locale, ContextField[str])
assert_type(locale.get(), str)
assert_type(tenant.get(), str | None)
assert_type(roles.get(), list[str])
assert_type(user.get(), int)

tenant.set("acme")
tenant.set(None)
locale.set(3)  # type: ignore[arg-type]
tenant.set(3)  # type: ignore[arg-type]
roles.set(["a", 1])  # type: ignore[list-item]
ContextField[int]("count", default="none")  # type: ignore[arg-type]
ContextField[int]("count", default_factory=list)  # type: ignore[arg-type]

databases = ContextStack[Context]("database")
depth = CoreField("depth", stack=databases, default=0)
assert_type(depth.get(), int)
depth.set("deep")  # type: ignore[arg-type]


def carriers(app: Demijohn) -> None:
    app.carry("user_id", "tenant")
    app.carry(["user_id"])  # type: ignore[arg-type]
    assert_type(app_ctx.carrier(), dict[str, Any])
    with app.app_context(carrier=app_ctx.carrier()) as ctx:
        assert_type(ctx.carrier(), dict[str, Any])
    app.app_context(carrier="text")  # type: ignore[arg-type]
