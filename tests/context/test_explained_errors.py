"""Outside a context, the error says where the code runs and the one line that fixes that case."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import gevent
import greenlet
import pytest
from places import generator, thread

from demijohn.context import ContextStack
from demijohn.context.errors import describe_place, outside_message

stack: ContextStack = ContextStack("database")  # type: ignore[type-arg]
connection = stack.proxy("connection")


def message() -> str:
    """The text of the error that the code around gets."""
    try:
        connection.execute("select 1")
    except RuntimeError as error:
        return str(error)
    raise AssertionError("no error")


def explain() -> str:
    """Where the code around runs, as the framework's messages put it, with the cure."""
    return outside_message("Working outside of application context.", "This code needs an app.")


def test_the_parts_of_the_message() -> None:
    """The first line is Flask's; then come the need, the place and the cure."""
    lines = explain().splitlines()
    assert lines[0] == "Working outside of application context."
    assert lines[1] == ""
    assert lines[2] == "This code needs an app. This code runs in the main thread."
    assert lines[3] == "Put this code under `with app.app_context():`."
    assert len(lines) == 4


def test_a_stack_names_its_own_remedy() -> None:
    """A custom context's error names that kind of context in place of Flask's."""
    text = message()
    assert text.startswith("Working outside of database context.\n")
    assert "This code runs in the main thread." in text
    assert text.endswith("Put this code under a pushed database context (`with`).")


def test_in_a_generator_of_the_main_thread() -> None:
    """A generator's step runs where its caller does."""
    assert "in the main thread" in generator(explain)


def test_at_import_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that runs while its module is imported is told so, also below a function call."""
    (tmp_path / "probe_at_import.py").write_text(
        "import test_explained_errors as here\n"
        "def helper():\n"
        "    return here.explain()\n"
        "text = helper()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = importlib.import_module("probe_at_import").text
    monkeypatch.delitem(sys.modules, "probe_at_import")
    assert "while a module is imported" in text
    assert "Move this code into a function that runs later" in text


def test_in_a_thread_with_a_target() -> None:
    """A thread is named with the function it was started with."""
    texts: list[str] = []

    def send_mail() -> None:
        texts.append(explain())

    started = threading.Thread(target=send_mail, name="mailer")
    started.start()
    started.join()
    assert "in the thread 'mailer', started with target" in texts[0]
    assert "send_mail" in texts[0]
    assert "make it a `ContextThread`, or wrap its function in `in_child`" in texts[0]
    assert "else use `with app.app_context():` in the thread." in texts[0]


def test_in_a_thread_of_a_subclass() -> None:
    """A thread without a target is named by its class."""
    texts: list[str] = []

    class Mailer(threading.Thread):
        def run(self) -> None:
            texts.append(explain())

    started = Mailer(name="mailer")
    started.start()
    started.join()
    assert "in the thread 'mailer' (" in texts[0]
    assert "Mailer)" in texts[0]


def test_in_a_pool() -> None:
    """A pool's thread is called that, not by the pool's inner function."""
    with ThreadPoolExecutor(1, thread_name_prefix="mail") as executor:
        text = executor.submit(explain).result()
    assert "in the thread pool's thread 'mail_0'" in text
    assert "submit `in_child(f)`, or use a `ContextThreadPoolExecutor`" in text


def test_in_a_task() -> None:
    """A task is named by its own name, on any thread."""

    async def call() -> str:
        return explain()

    async def main() -> str:
        return await asyncio.create_task(call(), name="digest")

    for text in (asyncio.run(main()), thread(lambda: asyncio.run(main()))):
        assert "in the asyncio task 'digest'" in text
        assert "Start the task inside `with app.app_context():`, by `task_group()` or as" in text


def test_in_a_thread_that_a_task_started() -> None:
    """A function that a task hands to a thread runs in that thread, not in the task."""

    async def main() -> str:
        return await asyncio.to_thread(explain)

    assert "in the thread pool's thread" in asyncio.run(main())


def test_in_a_greenlet() -> None:
    """A greenlet is named as one, by gevent or by hand."""
    for text in (gevent.spawn(explain).get(), greenlet.greenlet(explain).switch()):
        assert "in a greenlet" in text
        assert "spawn `in_child(f)`" in text


def report(send: Callable[[str], None]) -> None:
    """What a process of its own does."""
    send(explain())


def test_in_a_process() -> None:
    """A process is named with the function that it was started with."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=report, args=(sender.send,), name="digest")
    process.start()
    try:
        assert receiver.poll(60)
        text = receiver.recv()
    finally:
        process.join()
    assert "in the process 'digest', started with target report" in text
    assert "hand over `in_child(f)`" in text


def test_in_a_process_pool() -> None:
    """A pool's worker process is named as one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        text = executor.submit(explain).result()
    assert "in the process pool's worker " in text
    assert "hand over `in_child(f)`" in text
    assert "create the app there" in text


def test_at_import_in_a_thread_started_elsewhere() -> None:
    """Only frames of the code's own thread count: a thread started later is not importing."""
    place = thread(describe_place)
    assert "thread 'place'" in place.where
