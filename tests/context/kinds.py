"""Contexts for tests: a kind of its own for each test, which records what happens to them."""

from __future__ import annotations

from demijohn.context import Context, ContextStack


class Recorder(Context):
    """A context that logs its begin and end, and fails where told to."""

    def __init__(self, name: str = "ctx", fail: dict[str, BaseException] | None = None) -> None:
        self.name = name
        self.fail = fail or {}
        self.log: list[str] = []
        self.errors: list[BaseException | None] = []
        self.seen: list[bool] = []

    def on_enter(self) -> None:
        self.log.append("enter")
        self.seen.append(self.stack.current is self)
        if "enter" in self.fail:
            raise self.fail["enter"]

    def on_exit(self, exc: BaseException | None) -> None:
        self.log.append("exit")
        self.errors.append(exc)
        self.seen.append(self.stack.current is self)
        if "exit" in self.fail:
            raise self.fail["exit"]

    @property
    def ends(self) -> int:
        """How often it ended."""
        return self.log.count("exit")

    def __repr__(self) -> str:
        return f"<Recorder {self.name}>"


def new_kind(name: str = "database") -> type[Recorder]:
    """A recording class on a stack of its own."""

    class Kind(Recorder, stack=ContextStack[Recorder](name)):
        pass

    return Kind
