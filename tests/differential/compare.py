"""Whether two outcomes are equal but for `docs/differences.md`.

`EXEMPTIONS` is the table of what may differ. Each entry names the words of that document, says for
which calls it holds, and takes away what it allows to differ; the rest is compared.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest

from edges import EDGE
from werkzeug.http import HTTP_STATUS_CODES

from .model import Call, Example, Outcome

_MARKS = re.compile(r" \[a?r?\]$")
_STEP = re.compile(r" step| closed| on close")
_CLOSING = re.compile(r"^\S+ (closed|on close)$")
_CALLER = re.compile(r"^(returned|sent|closed)\b")
_PUSHED = "signal appcontext_pushed"
_INNER_POP = "signal appcontext_popped [ar]"
_IGNORE = "should_ignore_error"
_END_ENTRIES = (
    "signal request_tearing_down",
    "signal appcontext_tearing_down",
    "signal appcontext_popped",
    "do_teardown_request",
    "do_teardown_appcontext",
    "request closed",
    _IGNORE,
)
_RECORD = "Error at the end of"


@dataclass
class Case:
    """One call with both outcomes; an exemption changes what is left to compare."""

    example: Example
    call: Call | None
    flask: Outcome
    ours: Outcome
    ends: tuple[str, ...]
    """What entries of the log begin with that belong to an end."""
    over: bool = False
    """Whether what follows may differ too."""

    def is_end(self, entry: str) -> bool:
        return bare(entry).startswith(self.ends)

    def split(self, log: list[str]) -> tuple[list[str], list[str]]:
        """The entries of ends, and the others."""
        ends = [entry for entry in log if self.is_end(entry)]
        return ends, [entry for entry in log if not self.is_end(entry)]


def bare(entry: str) -> str:
    return _MARKS.sub("", entry)


def name_of(entry: str) -> str:
    """An entry of an end without the exception that it got."""
    words = bare(entry).split(" ")
    return " ".join(words[: 2 if words[0] in ("signal", "ensure_sync") else 1])


# -- a streamed body's context ends after its last byte -------------------------------------------


def is_streamed(case: Case) -> bool:
    return (
        pushes(case.flask.log) > pushes(case.ours.log)
        or any(_STEP.search(bare(entry)) for entry in case.flask.log)
        or (case.call is not None and late_end(case))
    )


def pushes(log: list[str]) -> int:
    """How often a context was pushed, or popped while another was current."""
    return sum(entry.startswith(_PUSHED) or entry == _INNER_POP for entry in log)


def late_end(case: Case) -> bool:
    """Whether our context ended after the application had returned the body."""
    logged = [bare(entry) for entry in case.ours.log]
    while logged and not logged[0].startswith("returned"):
        del logged[0]
    return any(case.is_end(entry) for entry in logged)


def end_late(case: Case) -> None:
    """Flask ends before the body, with `stream_with_context` again after it; we once, after."""
    theirs, others = case.split([entry for entry in case.flask.log if entry != _INNER_POP])
    mine, own_others = case.split([entry for entry in case.ours.log if entry != _INNER_POP])
    if case.ours.error:
        # The error of a step is known to our end; Flask's was before it.
        mine = [entry for entry in mine if entry in theirs or not entry.startswith(_IGNORE)]
    if case.flask.error or case.ours.error or (case.call and case.call.steps is not None):
        theirs, mine = [name_of(e) for e in theirs], [name_of(e) for e in mine]
    if is_part(mine, theirs) and set(theirs) <= set(mine):
        theirs = mine
    case.flask.log = [*closings_last(without_contexts(others)), *theirs]
    case.ours.log = [*closings_last(without_contexts(own_others)), *mine]


def closings_last(log: list[str]) -> list[str]:
    """The log with the closings of bodies at its end: ours are closed with the last byte."""
    closings = [entry for entry in log if _CLOSING.search(bare(entry))]
    return [entry for entry in log if entry not in closings] + closings


def without_contexts(log: list[str]) -> list[str]:
    """The log without pushes, and from the body on without which contexts were seen."""
    log = [entry for entry in log if not entry.startswith(_PUSHED)]
    for number, entry in enumerate(log):
        if _CALLER.search(entry) or _STEP.search(entry):
            return log[:number] + [bare(left) for left in log[number:]]
    return log


# -- a stream that is read while its request runs -------------------------------------------------

_ROUTING = re.compile(r"^(\S+ \S+ \[.*\]) \{.*\}( \[ar\])$")


def matched_again(case: Case) -> bool:
    """Whether a preprocessor took a value and a stream was read in the request."""
    taken = any(
        "url_value_preprocessor: takes a value" in part.features for part in case.example.parts
    )
    return taken and any("stream" in line for part in case.example.parts for line in part.lines)


def without_view_args(case: Case) -> None:
    """Flask's `request.view_args` has the value again, as it pushed the context again."""
    case.flask.log = [_ROUTING.sub(r"\1\2", entry) for entry in case.flask.log]
    case.ours.log = [_ROUTING.sub(r"\1\2", entry) for entry in case.ours.log]


# -- a request starts clean, and leaves its caller clean ------------------------------------------


def calls_within(case: Case) -> bool:
    """Whether the caller saw a context of Flask's, and none of ours."""
    ours = [entry for entry in case.ours.log if _CALLER.search(entry)]
    theirs = [entry for entry in case.flask.log if _CALLER.search(entry)]
    return theirs != ours and all(entry.endswith("[]") for entry in ours)


def leave_caller(case: Case) -> None:
    """Flask's streams leave their contexts pushed in the caller's Context between steps."""
    case.flask.log = [
        bare(entry) + " []" if _CALLER.search(entry) else entry for entry in case.flask.log
    ]


# -- all teardown functions run, and a good response survives -------------------------------------


def teardown_fails(case: Case) -> bool:
    """Whether a teardown function was asked to fail and was reached, or an end has failed."""
    if any(_RECORD in record for record in case.ours.records):
        return True
    asked = case.call.asked if case.call else []
    return any(case.is_end(entry) and name_of(entry) in asked for entry in case.flask.log)


def survive(case: Case) -> None:
    """Flask's remaining teardown functions do not run, and the error leaves the application."""
    theirs, others = case.split(case.flask.log)
    mine, own_others = case.split(case.ours.log)
    if {name_of(entry) for entry in theirs} <= {name_of(entry) for entry in mine}:
        case.flask.log, case.ours.log = others, own_others
    case.ours.records = [record for record in case.ours.records if _RECORD not in record]
    if case.flask.error is not None:
        # The body was made and not sent.
        case.flask.log, case.ours.log = unsent(case.flask.log), unsent(case.ours.log)
        case.flask.error = case.ours.error = None
        case.flask.body = case.ours.body = []
        if case.call is not None and case.call.client:
            # Flask's client has no response; ours goes on with it.
            case.ours.status, case.ours.headers = case.flask.status, case.flask.headers
            case.flask.log, log = without_contexts(case.flask.log), without_contexts(case.ours.log)
            case.ours.log = log[: len(case.flask.log)]
            case.ours.records = case.ours.records[: len(case.flask.records)]
    case.over = case.call is not None and case.call.client


def unsent(log: list[str]) -> list[str]:
    """The log up to where the answer is handed to the server."""
    for number, entry in enumerate(log):
        if _CALLER.search(entry) or _STEP.search(entry):
            return log[:number]
    return log


# -- adapters, bodies that are not sent -----------------------------------------------------------

_ADAPTER = re.compile("^create_url_adapter ")
_SENT = re.compile("^(start|returned) ")
_CLOSED = re.compile(r"^\S+ (closed|on close) ")


def logs_adapters(case: Case) -> bool:
    return any(_ADAPTER.search(entry) for entry in case.flask.log)


def without_adapters(case: Case) -> None:
    """An override of `create_url_adapter` is called when and as often as adapters are needed."""
    case.flask.log = [entry for entry in case.flask.log if not _ADAPTER.search(entry)]
    case.ours.log = [entry for entry in case.ours.log if not _ADAPTER.search(entry)]


def discards(case: Case) -> bool:
    """Whether a body of ours was closed before the answer was sent."""
    return discarded(case.ours.log) != discarded(case.flask.log)


def discarded(log: list[str]) -> list[str]:
    """The bodies that were closed before an answer was sent."""
    entries: list[str] = []
    for entry in log:
        if _SENT.search(entry):
            break
        if _CLOSED.search(entry):
            entries.append(entry)
    return entries


def without_discarded(case: Case) -> None:
    """Flask leaves the body of an answer that an error replaced as it is."""
    theirs = {bare(entry) for entry in case.flask.log}
    ours = [entry for entry in discarded(case.ours.log) if bare(entry) not in theirs]
    case.ours.log = [entry for entry in case.ours.log if entry not in ours]


def is_part(part: Iterable[str], whole: Iterable[str]) -> bool:
    """Whether `part` comes in `whole` in its order."""
    rest = iter(whole)
    return all(any(entry == other for other in rest) for entry in part)


# -- input that Flask lets through or answers with 500 --------------------------------------------


def tells(outcome: Outcome, error: str) -> bool:
    return any(error in line for line in told_by(outcome))


def told_by(outcome: Outcome) -> tuple[str, ...]:
    return (*outcome.log, *outcome.records, outcome.error or "", outcome.status or "")


def over_a_form_limit(case: Case) -> bool:
    """Whether we refused an urlencoded body, and Flask did not."""
    kind = case.call.environ.get("CONTENT_TYPE", "") if case.call else ""
    refused = tells(case.ours, "RequestEntityTooLarge") or tells(case.ours, "413 ")
    # The answer may be lost for a session that cannot be saved, and with it what would tell.
    limits = any("max_form" in line.lower() for line in case.example.setup)
    lost = limits and tells(case.ours, "TypeError") and tells(case.flask, "TypeError")
    return (refused or lost) and kind.startswith("application/x-www-form-urlencoded")


def over_a_chunked_limit(case: Case) -> bool:
    """Whether we refused a body without a length, of which Flask reads what is within the limit."""
    refused = tells(case.ours, "RequestEntityTooLarge") or tells(case.ours, "413 ")
    return refused and case.call is not None and "wsgi.input_terminated" in case.call.environ


def redirects_without_host(case: Case) -> bool:
    return any(":///" in value for _, value in case.flask.headers)


def control_in_a_record(case: Case) -> bool:
    return any("\0" in record for record in case.flask.records)


def escape_it(case: Case) -> None:
    case.flask.records = [record.replace("\0", "\\x00") for record in case.flask.records]


def wrong_pop(case: Case) -> bool:
    """Whether Flask's test client popped wrongly after a stream that failed in its block."""
    kept = case.call is not None and "with" in case.call.ways
    return kept and case.flask.error in ("LookupError", "AssertionError")


def unreadable_session(case: Case) -> bool:
    return tells(case.flask, "BadPayload") and not tells(case.ours, "BadPayload")


def links_on_a_refused_host(case: Case) -> bool:
    links = any("url_for(" in line for part in case.example.parts for line in part.lines)
    refused = any("TRUSTED_HOSTS" in line for line in case.example.setup)
    told = tells(case.flask, "AttributeError") and tells(case.ours, "RuntimeError")
    # A teardown function that fails too may hide the error that would tell.
    return told or (links and refused and teardown_fails(case))


def stops_by_asgi(case: Case) -> bool:
    """Whether a StopIteration left a function, which is a coroutine's there."""
    return EDGE == "asgi" and tells(case.flask, "StopIteration")


def give_up(case: Case) -> None:
    """The two applications go different ways from here."""
    case.flask = case.ours
    case.over = True


@dataclass(frozen=True)
class Exemption:
    """One line of the document."""

    words: str
    """Words of the line in `docs/differences.md` that allows it."""
    holds: Callable[[Case], bool]
    settle: Callable[[Case], None]


EXEMPTIONS = (
    Exemption(
        "`url_for` where the host was refused explains itself.", links_on_a_refused_host, give_up
    ),
    Exemption("By ASGI a `StopIteration` becomes a `RuntimeError`.", stops_by_asgi, give_up),
    Exemption("on an urlencoded body", over_a_form_limit, give_up),
    Exemption("a chunked body longer than", over_a_chunked_limit, give_up),
    Exemption("control characters in the path or method", control_in_a_record, escape_it),
    Exemption("A context ends exactly once.", wrong_pop, give_up),
    Exemption("a redirect of routing", redirects_without_host, give_up),
    Exemption(
        "A session that is signed correctly and cannot be read is empty.",
        unreadable_session,
        give_up,
    ),
    Exemption("A request starts clean.", calls_within, leave_caller),
    Exemption("and the URL is not matched again", matched_again, without_view_args),
    Exemption("URL adapters are made when they are needed.", logs_adapters, without_adapters),
    Exemption("A body that will not be sent is closed.", discards, without_discarded),
    Exemption("A good response survives a failing teardown.", teardown_fails, survive),
    Exemption("A streamed body's context ends after its last byte.", is_streamed, end_late),
)


# -- the other edge --------------------------------------------------------------------------------

_AT_SERVER = re.compile(r"^(start|sent) ")
_REASON = re.compile(r"^(returned \d{3}) [^\[]*")


def as_by_asgi(case: Case) -> None:
    """Take away what ASGI does not say: a status line's words, how a header's name is written, when
    the answer starts (after the end of a request without a stream), and a list's parts."""
    for outcome in (case.flask, case.ours):
        if outcome.status is not None:
            code = outcome.status[:3]
            outcome.status = f"{code} {HTTP_STATUS_CODES.get(int(code), 'UNKNOWN').upper()}"
        outcome.headers = [(name.lower(), value) for name, value in outcome.headers]
        outcome.log = [
            _REASON.sub(r"\1 ", entry) for entry in outcome.log if not _AT_SERVER.search(entry)
        ]
        if all(isinstance(item, bytes) for item in outcome.body):
            outcome.body = [b"".join(outcome.body)]
    if case.call is not None and case.call.steps is not None and case.flask.body and case.ours.body:
        # A client that leaves in the middle of a list has got all of it, or nothing.
        shorter = min(case.flask.body[0], case.ours.body[0], key=len)
        if case.flask.body[0].startswith(shorter) and case.ours.body[0].startswith(shorter):
            case.flask.body = case.ours.body


def ends_of(example: Example) -> tuple[str, ...]:
    names = [part.name for part in example.parts if any("teardown" in f for f in part.features)]
    logged = [f"{prefix}{name}" for prefix in ("", "ensure_sync ") for name in names]
    return (*_END_ENTRIES, *logged)


def difference(example: Example, flask: list[Outcome], ours: list[Outcome]) -> str | None:
    """What differs first, in words, or None."""
    ends = ends_of(example)
    calls = [None, *example.calls]
    for number, (call, theirs, mine) in enumerate(zip_longest(calls, flask, ours)):
        if theirs is None and mine is None:
            return None
        if theirs is None or mine is None:
            return f"call {number}: only one side made it"
        if theirs == mine:
            continue
        case = Case(example, call, copy.copy(theirs), copy.copy(mine), ends)
        if EDGE == "asgi":
            as_by_asgi(case)
        for exemption in EXEMPTIONS:
            if case.flask != case.ours and exemption.holds(case):
                exemption.settle(case)
        if case.flask != case.ours:
            return told(number, call, case)
        if case.over:
            return None
    return None


def told(number: int, call: Call | None, case: Case) -> str:
    """The difference of one call."""
    lines = [f"call {number}: {call}" if call else "the set-up"]
    for name in vars(case.flask):
        theirs, mine = getattr(case.flask, name), getattr(case.ours, name)
        if theirs != mine:
            lines += [f"  {name}", f"    Flask:    {theirs!r}", f"    Demijohn: {mine!r}"]
    return "\n".join(lines)
