"""What was measured on Flask 3.1.3, as tests of both: what a copied request must not do to its
parent, and one function on many threads. Flask is the known-bad control.

Each fault is a function that says whether it is there, given the framework.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
from children_kit import PATIENCE

import demijohn


def run(fw: Any, view: Callable[[Any], Any], **options: Any) -> Any:
    """Call a view of one framework; what it returned."""
    app = fw.Flask("site", static_folder=None)
    app.config.update(SECRET_KEY="key", PROPAGATE_EXCEPTIONS=True)
    if fw is demijohn:
        app.carry("user")
    app.ends = []
    app.teardown_request(lambda exc: app.ends.append("request"))
    app.teardown_appcontext(lambda exc: app.ends.append("app"))
    found: list[Any] = []

    def endpoint(**values: Any) -> str:
        found.append(view(app))
        return "x"

    app.url_value_preprocessor(lambda endpoint, values: values and values.pop("lang", None))
    app.add_url_rule("/<lang>/<name>", "view", endpoint, methods=["GET", "POST"])
    app.test_client().open("/de/x", **options).close()
    return found[0]


def elsewhere(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(PATIENCE)


def g_is_empty(fw: Any) -> bool:
    """What the parent put on `g` is not in the child, and cannot be declared to be."""

    def view(app: Any) -> bool:
        fw.g.user = "ann"
        return bool(elsewhere(fw.copy_current_request_context(lambda: "user" not in fw.g)))

    return bool(run(fw, view))


def uploads_are_closed(fw: Any) -> bool:
    """The child's end closes the parent's uploads."""

    def view(app: Any) -> bool:
        _ = fw.request.files["f"]
        elsewhere(fw.copy_current_request_context(lambda: None))
        try:
            return bool(fw.request.files["f"].read() != b"content")
        except ValueError:  # of a closed file
            return True

    data = {"f": (io.BytesIO(b"content"), "f.txt")}
    return bool(run(fw, view, method="POST", data=data))


def view_args_are_overwritten(fw: Any) -> bool:
    """The child's push matches the URL again, and puts back what the parent took out."""

    def view(app: Any) -> bool:
        elsewhere(fw.copy_current_request_context(lambda: None))
        return bool(fw.request.view_args != {"name": "x"})

    return bool(run(fw, view))


def the_parents_end_runs(fw: Any) -> bool:
    """The child runs teardown_request functions, which are the parent's."""

    def view(app: Any) -> bool:
        elsewhere(fw.copy_current_request_context(lambda: None))
        return "request" in app.ends

    return bool(run(fw, view))


def the_request_is_routed_again(fw: Any) -> bool:
    """The child's push gives the parent's request another `view_args`."""

    def view(app: Any) -> bool:
        before = fw.request.view_args
        elsewhere(fw.copy_current_request_context(lambda: None))
        return fw.request.view_args is not before

    return bool(run(fw, view))


M4 = [
    g_is_empty,
    uploads_are_closed,
    view_args_are_overwritten,
    the_parents_end_runs,
    the_request_is_routed_again,
]


@pytest.mark.parametrize("fault", M4, ids=lambda fault: fault.__name__)
def test_a_copied_request_harms_nobody(fault: Callable[[Any], bool]) -> None:
    """M4: what Flask's copied request does to its parent is not done here."""
    assert fault(flask)
    assert not fault(demijohn)


def test_one_function_on_many_threads() -> None:
    """M5: one wrapped function mapped over five pool threads that overlap works on each, with a `g`
    and an end of its own."""
    barrier = threading.Barrier(5, timeout=PATIENCE)

    def view(app: Any) -> Any:
        def work(n: int) -> list[Any]:
            demijohn.g.n = n
            barrier.wait()
            found = [demijohn.g.n, demijohn.request.path]
            barrier.wait()
            return found

        with ThreadPoolExecutor(5) as pool:
            for wrap in (demijohn.copy_current_request_context, demijohn.in_child):
                assert list(pool.map(wrap(work), range(5))) == [[n, "/de/x"] for n in range(5)]
        return list(app.ends)

    assert run(demijohn, view) == ["app"] * 10


def test_the_session_that_is_shared() -> None:
    """`copy_current_request_context` keeps Flask's shared session: what it writes is there."""

    def written(fw: Any) -> Any:
        def view(app: Any) -> Any:
            def work() -> None:
                fw.session["child"] = 1

            elsewhere(fw.copy_current_request_context(work))
            return fw.session["child"]

        return run(fw, view)

    assert written(demijohn) == written(flask) == 1
