"""Fields: typed values of a context, and which of them carry."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from elsewhere import in_thread
from kinds import Recorder, new_kind
from places import everywhere

from demijohn.context import ContextEnded, ContextField, ContextStack
from demijohn.context.fields import carried_values, set_carried_values


def new_stack() -> tuple[type[Recorder], ContextStack[Any]]:
    kind = new_kind()
    return kind, kind.stack


@everywhere
def test_each_context_has_a_value_of_its_own() -> None:
    """What is set in a context is read there alone, and the outer one's is back afterwards."""
    kind, stack = new_stack()
    locale = ContextField("locale", stack=stack, default="en")
    with kind():
        assert locale.get() == "en"
        locale.set("de")
        with kind():
            assert locale.get() == "en"
            locale.set("fr")
        assert locale.get() == "de"
        locale.reset()
        assert locale.get() == "en"
    with kind():
        assert locale.get() == "en"


def test_a_factory_makes_one_value_a_context() -> None:
    """`default_factory` is asked once a context, whichever threads read first."""
    kind, stack = new_stack()
    notes = ContextField[list[str]]("notes", stack=stack, default_factory=list)
    with kind() as ctx:
        notes.get().append("a")
        assert notes.get() == ["a"]
    with kind() as ctx, ThreadPoolExecutor(8) as pool:
        meet = threading.Barrier(8)

        def read() -> list[str]:
            with ctx:
                meet.wait(20)
                return notes.get()

        found = [job.result() for job in [pool.submit(read) for _ in range(8)]]
        assert all(value is found[0] for value in found)


def test_without_a_default_reading_needs_a_value() -> None:
    """A field without a default raises `LookupError` until it is set, naming its declaration."""
    kind, stack = new_stack()
    user = ContextField[int]("user", stack=stack)
    with kind():
        with pytest.raises(
            LookupError, match=r"The field 'user' has no value.*test_fields\.py:\d+"
        ):
            user.get()
        user.set(3)
        assert user.get() == 3


def test_outside_a_context_the_error_explains_itself() -> None:
    """Reading, setting and resetting say which field, which kind of context, and where this is."""
    _, stack = new_stack()
    user = ContextField("user", stack=stack, default=0)
    for call in (user.get, lambda: user.set(1), user.reset):
        with pytest.raises(RuntimeError) as caught:
            call()
        text = str(caught.value)
        assert text.startswith("Working outside of database context.\n")
        assert "The field 'user' belongs to a context. This code runs in the main thread." in text
        assert text.endswith("Put this code under a pushed database context (`with`).")
    with pytest.raises(RuntimeError, match="in the thread"):
        in_thread(user.get)


def test_after_the_end_it_is_read_only() -> None:
    """Code that outlived its context still reads values; changing one raises `ContextEnded`."""
    kind, stack = new_stack()
    user = ContextField("user", stack=stack, default=0)
    notes = ContextField[list[str]]("notes", stack=stack, default_factory=list)
    with kind() as ctx:
        user.set(4)
    token = stack.var.set(ctx)
    try:
        assert user.get() == 4
        assert notes.get() == []
        with pytest.raises(ContextEnded, match="Cannot set the field 'user'"):
            user.set(5)
        with pytest.raises(ContextEnded, match="Cannot reset the field 'user'"):
            user.reset()
        assert user.get() == 4
    finally:
        stack.var.reset(token)


def test_a_successor_keeps_the_values() -> None:
    """A push after the end finds the values of the life before, as it finds its data."""
    kind, stack = new_stack()
    user = ContextField("user", stack=stack, default=0)
    with (ctx := kind()):
        user.set(4)
    with ctx:
        assert user.get() == 4
        user.set(5)


def test_one_that_carries_is_checked_where_it_is_set() -> None:
    """A field that carries refuses what is not plain data, by its name; the value stays."""
    kind, stack = new_stack()
    cart = ContextField[Any]("cart", stack=stack, default=None, carries=True)
    with kind():
        cart.set([1])
        with pytest.raises(TypeError, match=r"The field 'cart', at \[1\], is of type tuple"):
            cart.set([1, (2,)])
        assert cart.get() == [1]


def test_one_that_carries_keeps_a_copy() -> None:
    """A change to what was set afterwards does not get into the field."""
    kind, stack = new_stack()
    cart = ContextField[Any]("cart", stack=stack, default=None, carries=True)
    with kind():
        cart.set(items := [1])
        items.append(object())
        assert cart.get() == [1]


def test_one_that_does_not_carry_takes_anything() -> None:
    """Any object can be set, and it is that object that is read."""
    kind, stack = new_stack()
    user = ContextField[Any]("user", stack=stack, default=None)
    with kind() as ctx:
        user.set(value := object())
        assert user.get() is value
        assert carried_values(ctx) == {}


def test_what_carries_is_copied_from_context_to_context() -> None:
    """Fields that carry and were set go along, as copies; the others do not."""
    kind, stack = new_stack()
    tenant = ContextField[Any]("tenant", stack=stack, default=None, carries=True)
    notes = ContextField[Any]("notes", stack=stack, default_factory=list, carries=True)
    locale = ContextField("locale", stack=stack, default="en")
    with kind() as ctx:
        assert carried_values(ctx) == {}
        tenant.set({"id": 3})
        locale.set("de")
        values = carried_values(ctx)
        assert values == {"tenant": {"id": 3}}
        tenant.get()["id"] = 4
        assert values == {"tenant": {"id": 3}}
    other = kind()
    set_carried_values(other, values)
    with other:
        assert (tenant.get(), notes.get(), locale.get()) == ({"id": 3}, [], "en")


def test_a_change_in_place_is_checked_when_it_goes_along() -> None:
    """A value that was spoilt after it was set is refused, by name, when it is to be carried."""
    kind, stack = new_stack()
    notes = ContextField[Any]("notes", stack=stack, default_factory=list, carries=True)
    with kind() as ctx:
        notes.get().append(object())
        with pytest.raises(TypeError, match=r"The field 'notes', at \[0\], is of type object"):
            carried_values(ctx)


def test_a_value_waits_for_its_field() -> None:
    """What came along for a field of a module not imported yet is there when it is declared."""
    kind, stack = new_stack()
    ctx = kind()
    set_carried_values(ctx, {"tenant": "acme"})
    with ctx:
        tenant = ContextField("tenant", stack=stack, default="", carries=True)
        assert tenant.get() == "acme"
        assert carried_values(ctx) == {"tenant": "acme"}


def test_two_that_carry_need_two_names() -> None:
    """The second declaration of a carried name is refused; the error names both places."""
    _, stack = new_stack()
    first = ContextField("tenant", stack=stack, default="", carries=True)
    with pytest.raises(ValueError, match="Two fields that carry have the name 'tenant'") as caught:
        ContextField("tenant", stack=stack, default="", carries=True)
    lines = str(caught.value).splitlines()
    assert [line.split()[1].rpartition(":")[0] for line in lines[1:3]] == [__file__, __file__]
    numbers = [int(line.rpartition(":")[2]) for line in lines[1:3]]
    assert numbers[1] == numbers[0] + 2
    assert f"{__file__}:{numbers[0]}" in repr(first)


def test_names_that_do_not_meet() -> None:
    """A name may be used again where one does not carry, on another stack, or on the same line."""
    _, stack = new_stack()
    _, other = new_stack()
    kept = [ContextField("tenant", stack=stack, default="", carries=True) for _ in range(2)]
    kept.append(ContextField("tenant", stack=other, default="", carries=True))
    kept.append(ContextField("tenant", stack=stack, default=""))
    assert len(kept) == 4


def test_a_dropped_field_gives_its_name_back() -> None:
    """A field that nobody refers to any more does not keep its name."""
    _, stack = new_stack()
    ContextField("tenant", stack=stack, default="", carries=True)
    gc.collect()
    ContextField("tenant", stack=stack, default="", carries=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"default": []}, "a list, which all contexts would share. Use `default_factory=list`"),
        ({"default": 1, "default_factory": int}, "give one"),
        ({"default": (), "carries": True}, "The default of the field 'x' is of type tuple"),
    ],
)
def test_a_wrong_declaration_says_what_is_right(arguments: dict[str, Any], words: str) -> None:
    """A shared mutable default, two defaults, and a default that cannot go along are refused."""
    _, stack = new_stack()
    with pytest.raises((TypeError, ValueError), match="The"):
        ContextField("x", stack=stack, **arguments)
    try:
        ContextField("x", stack=stack, **arguments)
    except (TypeError, ValueError) as error:
        assert words in str(error)


@pytest.mark.parametrize("name", ["", 3, None])
def test_a_name_is_text(name: Any) -> None:
    """A field without a name is refused."""
    with pytest.raises(TypeError, match="A field's name is text"):
        ContextField(name, stack=ContextStack("database"), default=0)


@pytest.mark.parametrize("call", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_context_is_not_pickled_or_copied(call: Any) -> None:
    """Pickling and copying a context is refused before anything is read of it."""
    kind, _ = new_stack()
    with kind() as ctx, pytest.raises(TypeError, match="cannot be pickled or copied") as caught:
        call(ctx)
    assert str(caught.value).endswith("Hand over plain data, and push a context of its own there.")
