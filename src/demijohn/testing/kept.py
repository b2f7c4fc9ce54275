"""The contexts that a client's `with` block keeps: successors of the last request's.

Edges hand over a request's contexts (`werkzeug.debug.preserve_context`); here they are pushed for
the test, and popped when the next request comes or the block ends.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from ..context.ending import raise_errors
from ..context.errors import WrongContextError

_GROUP = "Errors at the end of a kept request"


class Kept:
    """What one client keeps. The plain methods are for sync code; `let_go_async` awaits the closing
    of async resources."""

    def __init__(self) -> None:
        #: What edges gave of requests that the block has yet to keep.
        self.handed: list[Any] = []
        self._contexts: list[Any] = []

    def keep(self, contexts: list[Any]) -> None:
        """Make what the edge gave current; when one fails, none of it stays.

        What has ended starts a successor. What has not (a body that is not over) is borrowed.
        """
        try:
            for context in contexts:
                context.push()
                self._contexts.append(context)
        except BaseException as error:
            try:
                self.let_go()
            except BaseException as more:
                raise_errors([error, more], "Errors while a request was kept")
            raise

    def renew(self, ctx: Any) -> None:
        """Start the successor of a borrowed request that has ended with its body.

        What redirects before it left stays as it is.
        """
        contexts = self._ended(ctx)
        if not contexts:
            return
        try:
            self.let_go(len(contexts))
        except WrongContextError:
            # Read on another thread, or under another client's request: it stays as it is.
            return
        self.keep(contexts)

    async def renew_async(self, ctx: Any) -> None:
        """`renew`, with `let_go_async`."""
        contexts = self._ended(ctx)
        if not contexts:
            return
        try:
            await self.let_go_async(len(contexts))
        except WrongContextError:
            return
        self.keep(contexts)

    def _ended(self, ctx: Any) -> list[Any]:
        """The newest contexts of what is kept, if they are those of `ctx`, which has ended."""
        if not self._contexts or self._contexts[-1] is not ctx or not ctx.ended:
            return []
        return [kept for kept in self._contexts[-2:] if kept is ctx or kept is ctx.app_ctx]

    def let_go(self, most: int | None = None) -> None:
        """End what is kept, newest first, all of it or `most` contexts, whatever that raises.

        What another client's request lies on cannot go before that one does: it stays kept, and
        the `WrongContextError` says so.
        """
        popping = self._popping(most)
        answer: BaseException | None = None
        try:
            while True:
                context = popping.send(answer)
                answer = None
                try:
                    context.pop(None)
                except BaseException as error:
                    answer = error
        except StopIteration as stop:
            raise_errors(stop.value, _GROUP)
        finally:
            answer = None

    async def let_go_async(self, most: int | None = None) -> None:
        """`let_go` on a running loop."""
        popping = self._popping(most)
        answer: BaseException | None = None
        try:
            while True:
                context = popping.send(answer)
                answer = None
                try:
                    await context.__aexit__(None, None, None)
                except BaseException as error:
                    answer = error
        except StopIteration as stop:
            errors = stop.value
        finally:
            answer = None
        raise_errors(errors, _GROUP)

    def _popping(
        self, most: int | None
    ) -> Generator[Any, BaseException | None, list[BaseException]]:
        """The contexts to pop; each answer is what that raised. Returns the errors."""
        errors: list[BaseException] = []
        contexts = self._contexts
        left = 0 if most is None else len(contexts) - most
        while len(contexts) > left:
            context = contexts[-1]
            covered = context.stack.current is not context
            error = yield context
            if error is not None:
                errors.append(error)
                if isinstance(error, WrongContextError) and (
                    covered or context.stack.current is context
                ):
                    break
            contexts.pop()
        return errors


class KeptBody:
    """A streamed body read in a `with` block; when it is over, the block keeps a successor."""

    def __init__(self, body: Any, kept: Kept, ctx: Any) -> None:
        self._body = body
        self._steps = iter(body)
        self._kept = kept
        self._ctx = ctx

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            step: bytes = next(self._steps)
        except BaseException:
            self._kept.renew(self._ctx)
            raise
        return step

    def close(self) -> None:
        """End the request, as a server does."""
        close = getattr(self._body, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._kept.renew(self._ctx)
