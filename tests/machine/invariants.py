"""What the machine asserts, by number, and how a failure says which of it is broken.

The numbers are those by which mutants, reports and messages name an invariant; what is not here
belongs to other tests. Each text also says where in this package it is asserted.
"""

from __future__ import annotations

from collections import Counter

INVARIANTS: dict[int, tuple[str, str]] = {
    1: (
        "after any program of moves no thread, task or pool worker sees a context",
        "Machine.wind_up, Machine.look_around; Tasks.move leaves nothing in the place it runs in",
    ),
    2: (
        "between two steps of a body, who steps it sees exactly what it saw before",
        "Machine.look_around after each Machine.advance",
    ),
    3: (
        "inside a request's work each proxy and resource is that request's own",
        "Watch.look, Watch.bind, Watch.bind_session; Acts._use for resources",
    ),
    4: (
        "two live requests share neither g, session nor request, nested at an edge included",
        "Watch.know; ContextMachine.isolated_request; Forks and call_copied for children",
    ),
    5: (
        "a pop restores what was current before, over errors too",
        "Machine.look_around after each move",
    ),
    6: (
        "a failed push or opening leaves nothing pushed and nothing open",
        "Machine.look_around after Machine.push; Acts.do after a failed opening",
    ),
    7: ("a refused pop changes nothing", "Machine.pop, and Machine.look_around after it"),
    8: ("every end runs once, whatever it ends by, and closes what is open once", "judge_log"),
    9: ("an end runs last registered first, blueprint before app, request before app", "judge_log"),
    10: (
        "every function of an end runs and every error is reported",
        "judge_log; Machine.judge, Way.judge, Acts.do, Forks.run, Tasks.judge",
    ),
    11: (
        "functions of an end see their own context, and afterwards nobody does",
        "Watch.look in hooks, Resources._close, Machine.look_around",
    ),
    12: (
        "a streamed body's context ends after its last byte, or its close",
        "Machine.advance, Way.judge",
    ),
    13: (
        "functions of an end get the unhandled error itself, None where handled",
        "judge_log, Way.judge",
    ),
    14: ("no error of a token in another Context reaches a caller or a log", "Machine.act"),
    15: ("a body is not entered while it is stepped", "Edge._step_itself"),
    16: (
        "a child sees the values of its start, and neither side the other's later ones",
        "Forks._look, Machine.look_around",
    ),
    17: (
        "a child after its parent's end has its own context; nobody sees a later one",
        "Forks.run, Watch.look",
    ),
    19: (
        "a new thread sees no context and no variable unless asked",
        "Forks.nothing_seen, Forks._look, look_around",
    ),
    20: ("what is current around a server edge never changes its behaviour", "Edge.call"),
    21: (
        "a proxy is stable within a context and raises RuntimeError outside",
        "System.see, at every look",
    ),
    22: ("children and copies run nothing of their parent's end", "judge_log"),
    38: (
        "request, session and g are gone with the response, without the collector",
        "Watch.look_for_remains",
    ),
    39: ("once an error is dropped, nothing keeps its request", "Watch.look_for_remains"),
}


def broken(number: int, what: str) -> str:
    """How a failure is worded."""
    return f"invariant {number} ({INVARIANTS[number][0]}): {what}"


Log = list[tuple[str, BaseException | None]]
"""Which functions ran, and what they were given."""


def _of_request(point: str) -> bool:
    return point.startswith(("teardown_request", "request_tearing_down"))


def judge_log(got: Log, wanted: Log, where: str, failed: bool) -> str | None:
    """What is wrong with the functions that ran; `failed` says whether one of them raised."""
    if got == wanted:
        return None
    ran, due = [point for point, _ in got], [point for point, _ in wanted]
    if any(map(_of_request, ran)) and not any(map(_of_request, due)):
        number = 22
    elif ran == due:
        number = 13
    elif sorted(ran) == sorted(due):
        number = 9
    elif failed and not Counter(ran) - Counter(due):
        number = 10
    else:
        number = 8
    return broken(number, f"{where}: ran {got}, not {wanted}")
