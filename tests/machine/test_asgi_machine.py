"""Requests over ASGI, interleaved as Hypothesis chooses: stepped, cancelled, left."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demijohn.globals import _cv_app, _cv_request

from .asgi_programs import MOVES, PLACES, RAISES, VIEWS, fault_of, play

requests = st.fixed_dictionaries(
    {
        "view": st.sampled_from(VIEWS),
        "raises": st.sampled_from(RAISES),
        "handled": st.booleans(),
        "resource": st.booleans(),
        "waits": st.sets(st.sampled_from(PLACES), max_size=4),
    }
)
moves = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(MOVES)), max_size=40)


@settings(max_examples=60)
@given(st.lists(requests, min_size=1, max_size=5), moves)
def test_requests_in_any_order(specs: list[dict[str, Any]], program: list[tuple[int, str]]) -> None:
    """Whatever the order, each request sees its own, ends once, and leaves nothing behind."""
    assert [fault for c in asyncio.run(play(specs, program)) if (fault := fault_of(c))] == []


@pytest.mark.parametrize("fault", ["dirty", "twice"])
def test_the_machine_can_fail(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge whose requests start from the Context of another, or that ends twice, is found."""
    from demijohn.serve import asgi_exchange, asgi_http

    if fault == "dirty":
        made = [contextvars.copy_context()]

        def copy_of_last() -> contextvars.Context:
            made.append(made[-1].copy())
            made[-1].run(_cv_app.set, None)
            made[-1].run(_cv_request.set, None)
            return made[-1]

        monkeypatch.setattr(asgi_http, "copy_context", copy_of_last)
    else:
        end = asgi_exchange.Exchange.end

        async def twice(self: Any, failed: Any) -> None:
            await end(self, failed)
            self.ctx._state, self.ctx._token = self.ctx._state.CURRENT, object()
            await end(self, failed)

        monkeypatch.setattr(asgi_exchange.Exchange, "end", twice)
    spec = {"raises": "", "handled": False, "resource": False, "waits": {"view", "before"}}
    specs = [spec | {"view": "async"}] * 3

    def found() -> bool:
        try:
            played = asyncio.run(play(specs, [(0, "go"), (1, "go"), (2, "go")]))
        except RuntimeError:
            return True
        return any(fault_of(client) for client in played)

    assert found()
    monkeypatch.undo()
    assert not found()
