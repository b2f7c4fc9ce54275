"""Pattern 9: URLs outside of requests, bulk work on the bound application, large objects on `g`."""

from __future__ import annotations

import weakref
from types import ModuleType
from typing import Any

import pytest
from werkzeug.test import Client


def make_app(framework: ModuleType, **config: Any) -> Any:
    app = framework.Flask("shop")
    app.config.update(config)

    @app.get("/item/<int:number>")
    def item(number: int) -> str:
        return str(framework.url_for("item", number=number + 1))

    return app


URL_CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "external by default": ({}, {}, "http://shop.example/item/7"),
    "scheme of the config": (
        {"PREFERRED_URL_SCHEME": "https"},
        {},
        "https://shop.example/item/7",
    ),
    "scheme of the call": ({}, {"_scheme": "https"}, "https://shop.example/item/7"),
    "root": ({"APPLICATION_ROOT": "/de"}, {}, "http://shop.example/de/item/7"),
    "internal when asked": ({"APPLICATION_ROOT": "/de"}, {"_external": False}, "/de/item/7"),
    "anchor and query": (
        {},
        {"_anchor": "top", "q": "a b"},
        "http://shop.example/item/7?q=a+b#top",
    ),
}


@pytest.mark.parametrize("case", URL_CASES)
def test_url_for_outside_a_request(framework: ModuleType, case: str) -> None:
    """With `SERVER_NAME`, `url_for` in an app context and `app.url_for` build full URLs."""
    config, options, expected = URL_CASES[case]
    app = make_app(framework, SERVER_NAME="shop.example", **config)
    with app.app_context():
        assert framework.url_for("item", number=7, **options) == expected
    assert app.url_for("item", number=7, **options) == expected


def test_url_for_needs_server_name(framework: ModuleType) -> None:
    """Without `SERVER_NAME` there is no host to build with: a `RuntimeError` names the setting."""
    app = make_app(framework)
    with app.app_context(), pytest.raises(RuntimeError, match="SERVER_NAME"):
        framework.url_for("item", number=7)
    with pytest.raises(RuntimeError, match="SERVER_NAME"):
        app.url_for("item", number=7)


def test_url_for_in_a_request_stays_relative(framework: ModuleType) -> None:
    """`SERVER_NAME` does not make the URLs within a request full, and is no filter of hosts."""
    client = make_app(framework, SERVER_NAME="shop.example").test_client()
    assert client.get("/item/7").text == "/item/8"
    assert client.get("/item/7", base_url="http://other.example").text == "/item/8"


def test_url_for_in_a_mail_template(framework: ModuleType) -> None:
    """A template that a script renders builds full URLs too."""
    app = make_app(framework, SERVER_NAME="shop.example")
    with app.app_context():
        text = framework.render_template_string(
            "See {{ url_for('item', number=n) }} at {{ config['SERVER_NAME'] }}", n=7
        )
    assert text == "See http://shop.example/item/7 at shop.example"


def test_bulk_work_binds_the_application_once(framework: ModuleType) -> None:
    """`current_app._get_current_object()` is the application, good in and after the context."""
    app = make_app(framework, RATE=1.5)
    with app.app_context():
        bound = framework.current_app._get_current_object()
        assert bound is app
        assert type(bound) is framework.Flask
        rate = bound.config["RATE"]
        totals = [bound.config["RATE"] * n for n in range(10_000)]
    assert totals[-1] == rate * 9_999
    assert bound.config["RATE"] == 1.5  # not a proxy: it needs no context


def test_bulk_work_binds_g_once(framework: ModuleType) -> None:
    """The bound `g` is the context's own: what bulk work adds up is on the proxy too."""
    with make_app(framework).app_context():
        g = framework.g._get_current_object()
        g.total = 0
        for n in range(1_000):
            g.total += n
        assert framework.g.total == 499_500


def test_bulk_work_in_batches(framework: ModuleType) -> None:
    """A context a batch: what one batch puts on `g` is torn down before the next begins."""
    app, g = make_app(framework), framework.g
    sizes: list[int] = []
    app.teardown_appcontext(lambda exc: sizes.append(len(g.pop("rows"))))
    for start in range(0, 10, 4):
        with app.app_context():
            assert "rows" not in g
            g.rows = list(range(start, min(start + 4, 10)))
    assert sizes == [4, 4, 2]


class Table:
    """A large object."""

    def __init__(self) -> None:
        self.cells = bytearray(1_000_000)


def test_large_object_deleted_in_teardown_request(framework: ModuleType) -> None:
    """A large object that `teardown_request` takes off `g` is freed there, not later."""
    app, g = framework.Flask("shop"), framework.g
    kept: list[weakref.ref[Table]] = []
    log: list[object] = []

    @app.get("/report")
    def report() -> str:
        g.table = Table()
        kept.append(weakref.ref(g.table))
        return str(len(g.table.cells))

    @app.teardown_request
    def free(exc: BaseException | None) -> None:
        g.pop("table", None)

    @app.teardown_appcontext
    def look(exc: BaseException | None) -> None:
        log.append((kept[-1]() is None, "table" in g))

    client = Client(app)  # not the test client: that keeps a picture of the last request's `g`
    for _ in range(3):
        assert client.get("/report").text == "1000000"
    assert log == [(True, False)] * 3


def test_large_object_freed_after_an_error_too(framework: ModuleType) -> None:
    """`teardown_request` gets the error of a view, and takes the object off `g` all the same."""
    app, g = framework.Flask("shop"), framework.g
    log: list[object] = []

    @app.get("/report")
    def report() -> str:
        g.table = Table()
        raise MemoryError("no more room")

    @app.teardown_request
    def free(exc: BaseException | None) -> None:
        log.append((type(exc).__name__, g.pop("table", None) is not None))

    @app.teardown_appcontext
    def look(exc: BaseException | None) -> None:
        log.append((type(exc).__name__, "table" in g))

    assert app.test_client().get("/report").status_code == 500
    assert log == [("MemoryError", True), ("MemoryError", False)]
