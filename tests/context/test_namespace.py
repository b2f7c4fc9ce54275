"""`Namespace`, what `g` is made of, by attribute and by key."""

from __future__ import annotations

import copy
import pickle

import pytest
from flask.ctx import _AppCtxGlobals
from hypothesis import given
from hypothesis import strategies as st

from demijohn.context import Namespace


def test_attribute_and_key_are_the_same_value() -> None:
    """What is set by attribute is read and deleted by key, and the other way round."""
    ns = Namespace()
    ns.user = "ada"
    ns["tenant"] = 7
    assert ns["user"] == "ada" and ns.tenant == 7
    del ns["user"]
    del ns.tenant
    assert list(ns) == []
    with pytest.raises(KeyError, match="user"):
        ns["user"]
    with pytest.raises(KeyError):
        del ns["user"]
    with pytest.raises(AttributeError):
        _ = ns.user
    with pytest.raises(AttributeError):
        del ns.user


def test_get_pop_setdefault() -> None:
    """`get`, `pop` and `setdefault` do what they do on a dict."""
    ns = Namespace()
    assert ns.get("a") is None and ns.get("a", 1) == 1
    assert ns.setdefault("a", 2) == 2 and ns.setdefault("a", 3) == 2
    assert ns.setdefault("none") is None and "none" in ns
    assert ns.pop("a") == 2 and ns.pop("a", 5) == 5 and ns.pop("a", None) is None
    with pytest.raises(KeyError):
        ns.pop("a")


def test_length_order_and_truth() -> None:
    """It iterates names in the order they were set, has a length, and is true also when empty."""
    ns = Namespace()
    assert len(ns) == 0 and bool(ns)
    ns.b = ns.a = 1
    assert list(ns) == ["b", "a"] and len(ns) == 2 and bool(ns)
    assert "a" in ns and "c" not in ns


def test_copies_and_pickles() -> None:
    """It can be copied and pickled like any object, with a storage of its own."""
    ns = Namespace()
    ns.items = [1]
    for other in (copy.copy(ns), copy.deepcopy(ns), pickle.loads(pickle.dumps(ns))):
        assert other["items"] == [1]
        other.more = 1
        assert "more" not in ns


names = st.sampled_from(["a", "b", "c"])
moves = st.one_of(
    st.tuples(st.just("set"), names, st.integers()),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("read"), names),
    st.tuples(st.sampled_from(["get", "pop"]), names),
    st.tuples(st.sampled_from(["get", "pop", "setdefault"]), names, st.integers()),
    st.tuples(st.just("in"), names),
    st.tuples(st.just("iter")),
)


def play(namespace: object, move: tuple[object, ...]) -> object:
    """One move on a namespace, by the operations that Flask's `g` has too."""
    kind, *rest = move
    name = rest[0] if rest else None
    try:
        match kind:
            case "set":
                return setattr(namespace, *rest)  # type: ignore[arg-type]
            case "delete":
                return delattr(namespace, name)  # type: ignore[arg-type]
            case "read":
                return getattr(namespace, name)  # type: ignore[arg-type]
            case "in":
                return name in namespace  # type: ignore[operator]
            case "iter":
                return list(namespace)  # type: ignore[call-overload]
            case _:
                return getattr(namespace, str(kind))(*rest)
    except (AttributeError, KeyError) as error:
        return type(error)


@given(st.lists(moves, max_size=30))
def test_it_does_what_flasks_does(sequence: list[tuple[object, ...]]) -> None:
    """Any sequence of operations that Flask's `g` has gives the same answers here."""
    ours, theirs = Namespace(), _AppCtxGlobals()
    for move in sequence:
        assert play(ours, move) == play(theirs, move), move
