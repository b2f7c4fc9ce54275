"""Granian as the production server: the only file that imports it.

Granian's main process starts the workers, replaces those that die, and stops them. What is added
here: signals that mean the same from a terminal as from a service manager, a second one that stops
at once, a reload that keeps the workers when the new code does not load, and silence but for what
people need.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian import _signals
from granian._granian import WorkerSignal
from granian.constants import Interfaces
from granian.log import LogLevels

from .addresses import Address, claim
from .interface import Choice, Interface, choose
from .production import Options, default_threads, try_load
from .worker import ASGIWorker, Worker, WSGIWorker

if TYPE_CHECKING:
    from granian.server.mp import MPServer as Server
else:
    from granian.server import Server

_STOP = (signal.SIGINT, signal.SIGTERM)
_POLL = 0.02  # seconds between two questions whether a worker listens
_AFTER_PARENT = 0.5  # seconds

# Granian's own, with errors on stderr; access lines stay on stdout.
_LOG_HANDLERS = {
    "console": {
        "formatter": "generic",
        "class": "logging.StreamHandler",
        "stream": "ext://sys.stderr",
    },
    "access": {
        "formatter": "access",
        "class": "logging.StreamHandler",
        "stream": "ext://sys.stdout",
    },
}


def serve(
    load: Callable[[], Any], choice: Choice, options: Options, announce: Callable[[str], None]
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    Arguments:
        load: gives the application; called in each worker. Picklable where processes are spawned.
        choice: by which interface it is called.
        announce: called with lines for people: the address once connections are accepted there, a
            stop that begins, a reload that failed.

    Raises `AddressError` where nothing can listen.
    """
    with claim(options.host, options.port, options.uds) as address:
        return _serve_at(address, load, choice, options, announce)


def _serve_at(
    address: Address,
    load: Callable[[], Any],
    choice: Choice,
    options: Options,
    announce: Callable[[str], None],
) -> int:
    by_asgi = choice.interface == "asgi"
    threads = None if by_asgi else options.threads or default_threads()
    server = _Server(
        "app",  # a name for messages only: the loader is given below
        address=address.host,
        port=address.port,
        uds=None if address.path is None else Path(address.path),
        interface=Interfaces.ASGI if by_asgi else Interfaces.WSGI,
        workers=options.workers,
        blocking_threads=threads,
        websockets=by_asgi,
        respawn_failed_workers=True,
        workers_kill_timeout=options.graceful_timeout,
        log_level=LogLevels.warning,
        log_dictconfig={"handlers": _LOG_HANDLERS},
        log_access=options.access_log,
        log_access_format=options.access_log_format,
    )
    server.prepare(load, address, choice, options.interface, announce)
    server.on_startup(server.announce_when_ready)
    try:
        server.serve(
            target_loader=worker(load, choice.interface, options),
            wrap_loader=False,
        )
    except SystemExit as end:
        # A worker that the terminal's Ctrl-C reached first looks to Granian like one that died.
        if not server.interrupt_signal:
            return end.code if isinstance(end.code, int) else 1
    finally:
        server.ended.set()
    return 1 if server.stopped_at_once else 0


def worker(load: Callable[[], Any], interface: Interface, options: Options) -> Worker:
    """What is called in each new worker, and gives what the server is to call there."""
    if interface == "asgi":
        return ASGIWorker(load, options.graceful_timeout, options.threads, hear_on_the_loop)
    return WSGIWorker(load, options.graceful_timeout, options.workers, hear_every_signal)


def hear_every_signal(told: Callable[[], object]) -> None:
    """Let this worker stop at the first SIGTERM or SIGINT, and ignore those after it.

    `told()` is called first, on a thread of its own.

    A terminal's Ctrl-C reaches the worker itself, and then the main process tells it to stop. Of
    two signals at once the kernel may give both to a thread that is not Python's main one: that
    one, which waits for a lock, is then not woken, no handler runs, and the worker never stops. The
    wakeup pipe is written to wherever the signal arrives.
    """

    def set_up() -> Any:
        event: Any = WorkerSignal()
        heard, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(
            target=_stop_when_told, args=(heard, told, event), name="stop", daemon=True
        ).start()
        for number in _STOP:
            signal.signal(number, lambda number, frame: None)
        return event

    # Called by Granian, after the application is loaded. Until then a signal ends this process.
    _signals.set_sync_signals = set_up


def hear_on_the_loop(told: Callable[[Callable[[], object]], object]) -> None:
    """Have a worker by ASGI stop when `told(stop)`, which is called on its loop, calls `stop()`.

    Granian's own way stops at once, and cuts WebSockets off.
    """

    def set_up(loop: Any) -> Any:
        event: Any = WorkerSignal()
        for number in _STOP:
            loop.add_signal_handler(number, told, event.set)
        return event

    # Called by Granian, after the application is loaded.
    _signals.set_loop_signals = set_up


def _stop_when_told(heard: int, told: Callable[[], object], event: Any) -> None:
    # Other signals that the application handles are heard here too.
    while os.read(heard, 1)[0] not in _STOP:
        pass
    try:
        told()
    finally:
        event.set()


def _kill(worker: Any) -> None:
    try:
        worker.kill()
    except NotImplementedError:
        # On a free-threaded Python the workers are threads of this process.
        os._exit(1)


class _Server(Server):
    """Granian's server with the signals of this one."""

    stopped_at_once = False

    def prepare(
        self,
        load: Callable[[], Any],
        address: Address,
        choice: Choice,
        wanted: str,
        announce: Callable[[str], None],
    ) -> None:
        self.ended = threading.Event()
        self._load = load
        self._choice = choice
        self._wanted = wanted
        self._address = address
        self._announce = announce

    def announce_when_ready(self) -> None:
        """Say where it is served, once somebody accepts connections there."""
        threading.Thread(target=self._await_worker, name="await-worker", daemon=True).start()

    def _await_worker(self) -> None:
        # All workers first: nothing else should go on here while one is forked.
        while len(self.wrks) < self.workers or not self._address.answers():
            if self.interrupt_signal or self.ended.wait(_POLL):
                return
        workers, threads, choice = self.workers, self.blocking_threads, self._choice
        by_asgi = choice.interface == "asgi"
        each = "" if by_asgi else f" of {threads} thread{'s' * (threads > 1)}"
        self._announce(
            f"Serving on {self._address.url} with {workers} worker{'s' * (workers > 1)}{each}"
            f" (Granian {version('granian')}, {choice.interface.upper()} {choice.why})"
        )
        if choice.warning is not None:
            self._announce(choice.warning)

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """SIGTERM or SIGINT: let requests end; the second time, end them."""
        if os.getpid() != self.pid:
            # A worker that still loads the application has this handler from its parent. That one
            # often gets the same signal, and should know of it before it sees this one end.
            threading.Timer(_AFTER_PARENT, os._exit, (0,)).start()
            return
        # From here on the end of a worker is no accident.
        for worker in self.wrks:
            worker.interrupt_by_parent = True
        if self.interrupt_signal:
            self.stopped_at_once = True
            self._cut()
        else:
            patience, self.workers_kill_timeout = self.workers_kill_timeout or 0, None
            timer = threading.Timer(patience, self._cut_late)
            timer.daemon = True
            timer.start()
            self._announce(
                f"Stopping: requests in flight have {patience} s. The same signal again stops at"
                " once."
            )
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _cut(self) -> None:
        for worker in self.wrks:
            _kill(worker)

    def _cut_late(self) -> None:
        # Granian's own limit, which still holds for a reload, takes some workers that ended for
        # ones that did not: two threads wait for each, and the second is told nothing.
        self._announce("The time is over: what is still in flight is cut.")
        self._cut()

    def signal_handler_reload(self, *args: Any, **kwargs: Any) -> None:
        """SIGHUP: new workers for the old ones, where the application loads."""
        if os.getpid() != self.pid:
            return  # a worker, which has this handler from its parent
        threading.Thread(target=self._reload_if_sound, name="reload", daemon=True).start()

    def _reload_if_sound(self) -> None:
        tried = try_load(self._load, partial(choose, wanted=self._wanted))
        error = tried.error
        if error is None:
            choice: Choice = tried.found
            if choice.interface != self._choice.interface:
                self._announce(
                    f"{choice.interface.upper()} is what the app needs now, {choice.why}: that"
                    " takes a restart."
                )
            super().signal_handler_reload(signal.SIGHUP, None)  # type: ignore[no-untyped-call]
        else:
            self._announce(f"Not reloaded, the old workers go on.\n{error.trace or error.message}")
