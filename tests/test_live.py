"""Changes that are made to an application after its first request, here and in Flask.

A case is one change. It is made to an application of each framework that has served requests
already; the same requests are sent before and after it, and the answers and the log are compared.
Each case must change something on Flask, or it would prove nothing. At the end of the file faults
are planted that a plan could have, and the cases must find them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import MappingProxyType, ModuleType
from typing import Any

import flask
import live_classes  # noqa: F401  # enters its changes
import live_containers  # noqa: F401  # enters its changes
import pytest
from live_app import CHANGES, REQUESTS, SIGNALS, Answer, Side, make_side, send_all
from live_steps import STEPS, on_instance

import demijohn
from demijohn.framework.plan import Plans
from demijohn.http.routing import RouteIndex

# What the pipeline in one piece takes as known is what is changed here.
pytestmark = pytest.mark.usefixtures("in_one_piece")


@pytest.fixture(autouse=True)
def nobody_watches() -> Iterator[None]:
    """Put away receivers that other tests left: with one, no request goes the short way."""
    signals = [getattr(demijohn, name) for name in SIGNALS]
    kept = [dict(signal.receivers) for signal in signals]
    for signal in signals:
        signal.receivers.clear()
    yield
    for signal, receivers in zip(signals, kept, strict=True):
        signal.receivers.update(receivers)


# -- the comparison -------------------------------------------------------------------------------


def run(framework: ModuleType, name: str) -> tuple[list[Answer], list[Answer]]:
    """The answers before and after a change."""
    with make_side(framework) as side:
        before = send_all(side)
        CHANGES[name](side)
        return before, send_all(side)


def compare(name: str) -> None:
    before, after = run(flask, name)
    our_before, our_after = run(demijohn, name)
    assert before != after, "the change has no effect on Flask"
    for request, theirs, ours in zip(REQUESTS, before, our_before, strict=True):
        assert (request["path"], "before", ours) == (request["path"], "before", theirs)
    for request, theirs, ours in zip(REQUESTS, after, our_after, strict=True):
        assert (request["path"], "after", ours) == (request["path"], "after", theirs)


# A step that drops a response leaves its file open; a host other than SERVER_NAME is warned of.
@pytest.mark.filterwarnings(
    "ignore:unclosed file",
    "ignore:Current server name",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
@pytest.mark.parametrize("name", CHANGES)
def test_change_after_the_first_request_is_seen(name: str) -> None:
    """A change after the first request has the same effects on every later request as in Flask."""
    compare(name)


@pytest.mark.parametrize("signal", SIGNALS)
def test_disconnected_receiver_is_gone(signal: str) -> None:
    """A receiver that is disconnected after the first requests is not called again."""
    side = make_side(demijohn)
    plain_answers = send_all(side)
    seen: list[object] = []

    def receive(sender: Any, **details: Any) -> None:
        seen.append(sender)

    getattr(demijohn, signal).connect(receive, sender=side.app)
    send_all(side)
    assert seen
    getattr(demijohn, signal).disconnect(receive, sender=side.app)
    seen.clear()
    assert send_all(side) == plain_answers
    assert not seen


def test_change_and_back() -> None:
    """An override that is deleted again leaves the application as it was."""
    side = make_side(demijohn)
    before = send_all(side)
    for step in STEPS:
        on_instance(side, step)
    assert send_all(side) != before
    for step in STEPS:
        delattr(side.app, step)
    assert send_all(side) == before


def test_there_are_enough_changes() -> None:
    """At least twenty changes are compared."""
    assert len(CHANGES) >= 20


# -- planted faults: what the cases must find -----------------------------------------------------


_look = Plans._look


def look_at_no_class(plans: Plans, app: Any) -> None:
    _look(plans, app)
    plans._leaf_dict, plans._leaf_size, plans._class_dicts = MappingProxyType({}), 0, []


def nothing(*args: Any) -> None: ...


FAULTS: dict[str, tuple[type, str, Any, tuple[str, ...]]] = {
    "class not looked at again": (
        Plans,
        "_look",
        look_at_no_class,
        ("class full_dispatch_request", "class dispatch_request"),
    ),
    "instance not looked at again": (
        Plans,
        "forget",
        nothing,
        ("instance full_dispatch_request", "instance make_response", "the app's class"),
    ),
    "index taken for fresh": (
        RouteIndex,
        "fresh",
        lambda self: True,
        ("rule added to the map", "rule that wins over another"),
    ),
    "sessions always opened late": (
        Plans,
        "opens_session_late",
        lambda self, interface: True,
        ("open_session set on the interface's instance",),
    ),
    "functions taken for sync": (
        Plans,
        "is_plain",
        lambda self, function: True,
        ("async before hook", "view replaced by an async one"),
    ),
}


@pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited:RuntimeWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a plan that keeps what it should ask for again, the cases that name it fail."""
    owner, name, broken, cases = FAULTS[fault]
    monkeypatch.setattr(owner, name, broken)
    for case in cases:
        with pytest.raises(AssertionError):
            compare(case)


@pytest.mark.parametrize(
    ("container", "case"),
    [
        ("before_request_funcs", "before hook added to an empty dict"),
        ("after_request_funcs", "after hook of the app"),
        ("teardown_request_funcs", "teardown_request function"),
        ("teardown_appcontext_funcs", "teardown_appcontext function"),
        ("view_functions", "view replaced"),
        ("url_value_preprocessors", "url value preprocessor"),
        ("error_handler_spec", "error handler for a code"),
        ("config", "config TRUSTED_HOSTS"),
    ],
)
def test_copied_container_is_found(
    container: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a container that is copied at the first request, the case that changes it fails."""
    make = CHANGES[case]

    def change_a_stale_one(side: Side) -> None:
        if side.framework is not demijohn:
            make(side)
            return
        kept = getattr(side.app, container)
        copied = copy.deepcopy(kept)
        setattr(side.app, container, copied)
        make(side)
        setattr(side.app, container, kept)

    monkeypatch.setitem(CHANGES, case, change_a_stale_one)
    with pytest.raises(AssertionError):
        compare(case)
