"""The benchmark compares equal work and its limits fail on figures that miss them."""

from __future__ import annotations

import pytest

from benchmarks.driver import Times
from benchmarks.judge import Limit, groups, limits, missed, ratio
from benchmarks.micro import READS, micro, plain
from benchmarks.subjects import SUBJECTS, build
from benchmarks.workloads import WORKLOADS, Caller, Workload

KEPT: Times = {
    **{load.name: {"demijohn": [12.0] * 3, "flask": [100.0] * 3} for load in WORKLOADS},
    "app_context": {"demijohn": [39.0] * 3, "flask": [100.0] * 3},
    **{read: {"demijohn": [65.0] * 3, "flask": [600.0] * 3} for read in READS},
    **{plain(read): {"demijohn": [6.0] * 3, "flask": [6.0] * 3} for read in READS},
}
WORSE = {"x": 1.1, "ns": 1.05}


@pytest.mark.parametrize("load", WORKLOADS, ids=lambda load: load.name)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_does_the_same_work(subject: str, load: Workload) -> None:
    """Each subject answers each workload with the right status, headers, body and close() calls."""
    caller = Caller(build(subject)[load.app], load)
    caller.verify()
    caller.verify()


def test_a_wrong_answer_is_refused() -> None:
    """A subject that answers something else is not timed."""

    def wrong(environ: object, start_response: object) -> list[bytes]:
        assert callable(start_response)
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [b"hullo"]

    with pytest.raises(AssertionError, match="hullo"):
        Caller(wrong, WORKLOADS[0]).verify()


def test_small_things_can_be_timed() -> None:
    """Everything that a limit is about is timed for a subject with Flask's API."""
    things = micro("flask")
    assert all(things[name](10) > 0 for name in things)
    wanted = {thing for group in groups(limits()) for thing in group}
    assert wanted == {load.name for load in WORKLOADS} | set(things)


def test_figures_within_the_limits_pass() -> None:
    """Figures just inside every limit miss none."""
    assert missed(KEPT, limits()) == []


@pytest.mark.parametrize("limit", limits(), ids=lambda limit: limit.name)
def test_each_limit_notices_a_slowdown(limit: Limit) -> None:
    """A figure that grows past its limit is missed, and only that one."""
    thing = limit.things[0]
    slow = [time * WORSE[limit.unit] for time in KEPT[thing]["demijohn"]]
    times = KEPT | {thing: KEPT[thing] | {"demijohn": slow}}
    assert missed(times, limits()) == [limit]


def test_ratios_are_taken_round_by_round() -> None:
    """A slow moment that hits both neighbours in a round leaves the ratio as it is."""
    times: Times = {"hello": {"a": [1.0, 50.0, 1.0], "b": [10.0, 500.0, 10.0]}}
    assert ratio(times, "hello", "a", "b") == pytest.approx(0.1)
