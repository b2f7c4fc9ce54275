"""What goes along from an application context: fields, names in `g`, and the carrier."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import time
from typing import Any

import pytest
from context_kit import make_app

from demijohn import Blueprint, CarrierError, ContextField, app_ctx, g, request
from demijohn.context import ContextEnded
from demijohn.context.proxy import UNMADE
from demijohn.framework.carrying import carried, fill
from demijohn.globals import _cv_app

tenant = ContextField[str | None]("tenant", default=None, carries=True)
roles = ContextField[list[str]]("roles", default_factory=list, carries=True)
trace = ContextField("trace", default=0)


def test_a_field_belongs_to_the_application_context() -> None:
    """A field works in any application's context, in a request and outside of one."""
    app = make_app()

    @app.get("/")
    def view() -> dict[str, Any]:
        before = tenant.get()
        tenant.set("acme")
        return {"before": before, "after": tenant.get(), "trace": trace.get()}

    client = app.test_client()
    for _ in range(2):
        assert client.get("/").json == {"before": None, "after": "acme", "trace": 0}
    with app.app_context():
        tenant.set("inner")
        with make_app().app_context():
            assert tenant.get() is None
        assert tenant.get() == "inner"


def test_outside_a_context_a_field_explains_itself() -> None:
    """The error has Flask's first line, the field's name and this place's remedy."""
    with pytest.raises(RuntimeError) as caught:
        tenant.get()
    lines = str(caught.value).splitlines()
    assert lines[0] == "Working outside of application context."
    assert "The field 'tenant' belongs to a context." in lines[2]
    assert lines[3] == "Put this code under `with app.app_context():`."


def test_after_the_end_a_field_is_read_only() -> None:
    """Code that outlived the context reads the field, and cannot set it."""
    with (ctx := make_app().app_context()):
        tenant.set("acme")
    token = _cv_app.set(ctx)
    try:
        assert tenant.get() == "acme"
        with pytest.raises(ContextEnded, match="Cannot set the field 'tenant'"):
            tenant.set("other")
    finally:
        _cv_app.reset(token)


def test_a_carrier_takes_declared_values_to_another_context() -> None:
    """Names of `g` and fields that are declared arrive, nothing else; JSON changes none of it."""
    app = make_app()
    app.carry("user_id", "locale")
    with app.app_context():
        g.user_id = 7
        g.connection = object()
        tenant.set("acme")
        trace.set(9)
        carrier = app_ctx.carrier()
    assert json.loads(json.dumps(carrier)) == carrier
    with app.app_context(carrier=carrier):
        assert g.user_id == 7
        assert "locale" not in g and "connection" not in g
        assert (tenant.get(), roles.get(), trace.get()) == ("acme", [], 0)
    with app.app_context():
        assert "user_id" not in g and tenant.get() is None


def test_a_carrier_of_an_untouched_context_is_empty() -> None:
    """Nothing is made for a carrier: `g` stays unmade, and the carrier has no values."""
    app = make_app()
    app.carry("user_id")
    with app.app_context() as ctx:
        carrier = ctx.carrier()
        assert ctx._g is UNMADE
    assert carrier == {"v": 1, "app": "site", "g": {}, "fields": {}, "deadline": None}


def test_the_values_are_there_for_whoever_sees_the_push() -> None:
    """A receiver of `appcontext_pushed` already finds the carried values."""
    from demijohn import appcontext_pushed

    app = make_app()
    app.carry("user_id")
    seen: list[Any] = []

    def look(sender: Any, **_: Any) -> None:
        seen.append((g.get("user_id"), tenant.get()))

    carrier = {"v": 1, "g": {"user_id": 7}, "fields": {"tenant": "acme"}}
    with appcontext_pushed.connected_to(look, app), app.app_context(carrier=carrier):
        pass
    assert seen == [(7, "acme")]


def test_only_what_this_application_declares_is_taken() -> None:
    """A name in a carrier that the receiving application does not declare stays out of `g`."""
    app = make_app()
    app.carry("user_id")
    with app.app_context(carrier={"v": 1, "g": {"user_id": 7, "is_admin": True}}):
        assert list(g) == ["user_id"]


def test_a_value_that_cannot_go_is_named() -> None:
    """A declared value that is not plain data is refused when it is to go, by its name."""
    app = make_app()
    app.carry("cart")
    with app.app_context() as ctx:
        g.cart = {"items": [1, {2}]}
        for take in (app_ctx.carrier, lambda: carried(ctx)):
            with pytest.raises(TypeError, match=r"g\.cart, at \['items'\]\[1\], is of type set"):
                take()


def test_a_deadline_goes_along() -> None:
    """The deadline that a carrier brings counts in its context, and goes into the next carrier."""
    app = make_app()
    deadline = time.time() + 60
    with app.app_context(carrier={"v": 1, "deadline": deadline}) as ctx:
        assert ctx.remaining() == pytest.approx(60, abs=30)
        carrier = json.loads(json.dumps(ctx.carrier()))
    assert carrier["deadline"] == pytest.approx(deadline, abs=1)
    with app.app_context(carrier={**carrier, "deadline": time.time() - 1}) as ctx:
        assert ctx.cancel_reason == "deadline"
        with pytest.raises(TimeoutError):
            ctx.check()
    with app.app_context() as ctx:
        assert ctx.deadline is None and ctx.carrier()["deadline"] is None


def test_a_carried_deadline_is_part_of_the_work_around_it() -> None:
    """A context that a request opens from a carrier is cancelled with the request."""
    app = make_app()

    with (
        app.test_request_context() as request_ctx,
        app.app_context(carrier={"v": 1, "deadline": time.time() + 1000}) as ctx,
    ):
        assert ctx.remaining() > 100
        request_ctx.cancel("user")
        assert ctx.cancel_reason == "user"


def test_cookies_and_authorization_stay() -> None:
    """Of a request with credentials nothing is in the carrier but what was declared."""
    app = make_app()
    app.carry("user_id")

    @app.get("/")
    def view() -> dict[str, Any]:
        assert request.authorization and request.cookies
        g.user_id = 7
        return app_ctx.carrier()

    client = app.test_client()
    client.set_cookie("session", "secret-cookie")
    text = client.get("/", headers={"Authorization": "Bearer secret-token"}).text
    assert "secret" not in text and "7" in text


@pytest.mark.parametrize("carrier", [{}, {"v": 2}, "text", [], {"v": 1, "g": {"user_id": {1}}}])
def test_what_is_no_carrier_opens_no_context(carrier: Any) -> None:
    """A carrier that cannot be read is refused where the context is made."""
    app = make_app()
    app.carry("user_id")
    with pytest.raises(CarrierError):
        app.app_context(carrier=carrier)


def test_carried_values_fill_a_context_of_another_application() -> None:
    """`carried` and `fill` copy: the two contexts share no container."""
    app, other = make_app(), make_app()
    app.carry("cart")
    other.carry("cart")
    with app.app_context() as ctx:
        g.cart = [1]
        roles.get().append("admin")
        values = carried(ctx)
        g.cart.append(2)
        roles.get().append("owner")
    fill(target := other.app_context(), values)
    with target:
        assert (g.cart, roles.get()) == ([1], ["admin"])


def test_another_process_reads_the_carrier() -> None:
    """A new interpreter finds in its context what was put in here."""
    program = (
        "import json, sys\n"
        "from demijohn import ContextField, Demijohn, g\n"
        "app = Demijohn('worker')\n"
        "app.carry('user_id')\n"
        "tenant = ContextField('tenant', default='', carries=True)\n"
        "with app.app_context(carrier=json.load(sys.stdin)):\n"
        "    print(g.user_id, tenant.get())\n"
    )
    app = make_app()
    app.carry("user_id")
    with app.app_context():
        g.user_id = 7
        tenant.set("acme")
        text = json.dumps(app_ctx.carrier())
    done = subprocess.run(
        [sys.executable, "-c", program], input=text, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["7", "acme"]


@pytest.mark.parametrize(
    ("names", "error"),
    [((["user_id"],), TypeError), ((3,), TypeError), (("user id",), ValueError)]
    + [((name,), ValueError) for name in ("", "__dict__", "a.b")],
)
def test_carry_takes_names(names: tuple[Any, ...], error: type[Exception]) -> None:
    """What is no name in `g` is refused at once, and nothing of that call is declared."""
    app = make_app()
    with pytest.raises(error, match=r"carry\('user_id'\)"):
        app.carry("tenant", *names)
    with app.app_context() as ctx:
        g.tenant = 1
        assert carried(ctx).g == {}


def test_carry_belongs_to_setup() -> None:
    """A name may be declared twice and by an extension's blueprint; after a request none may."""
    app = make_app()
    bp = Blueprint("bp", __name__)
    bp.record(lambda state: state.app.carry("user_id"))
    app.register_blueprint(bp)
    assert app.carry("user_id") is None
    with app.app_context() as ctx:
        g.user_id = 7
        assert carried(ctx).g == {"user_id": 7}
    app.test_client().get("/")
    with pytest.raises(AssertionError, match="The setup method 'carry' can no longer be called"):
        app.carry("late")


@pytest.mark.parametrize("call", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_live_context_refuses_to_leave(call: Any) -> None:
    """Neither kind of context can be pickled or copied; the error names the carrier."""
    with make_app().test_request_context() as ctx:
        for each in (ctx, ctx.app_ctx):
            with pytest.raises(TypeError, match=r"app_ctx\.carrier\(\)"):
                call(each)
