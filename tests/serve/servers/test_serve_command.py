"""`demijohn serve` as people start it: its processes, signals, addresses and messages."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .clients import ask
from .kinds import DEADLINE, HERE, SOURCE, Kind, Running, eventually, start
from .test_stops import InFlight

StartServer = Callable[..., Running]


def stat_of(pid: int | str) -> list[str]:
    """State, parent and so on of a process; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(pid: int) -> list[int]:
    processes = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [int(name) for name in processes if stat_of(name)[1:2] == [str(pid)]]


def serves(pid: int) -> bool:
    """Whether a worker is past loading the application: then it has the threads of its server."""
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 4
    except FileNotFoundError:  # it has ended
        return False


def alive(pid: int) -> bool:
    return stat_of(pid)[:1] not in ([], ["Z"])


def gone(running: Running, workers: list[int]) -> int:
    """Wait until the server and its workers are gone; return the exit status."""
    status = running.process.wait(DEADLINE)
    eventually(lambda: not any(map(alive, workers)), lambda: str(workers))
    return status


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_processes(
    start_server: StartServer, number: signal.Signals, group: bool
) -> None:
    """SIGTERM and Ctrl-C stop main process and workers with status 0 and no complaint, whether only
    the main process gets the signal or each, as from a terminal.
    """
    running = start_server("granian", "--workers", "2", "--threads", "2")
    workers = children(running.process.pid)
    assert len(workers) == 2
    request = InFlight(running, "late")
    if group:
        os.killpg(running.process.pid, number)
    else:
        running.process.send_signal(number)
    running.wait_for_output("Stopping")
    running.open_gate("late")
    request.wait()
    assert request.body == "waited late"
    assert gone(running, workers) == 0
    assert len(running.output().splitlines()) == 2, running.output()


def test_a_signal_while_the_app_is_loaded(start_server: StartServer, own_app: Path) -> None:
    """Workers that still load the application stop at once, and so does the server."""
    log = own_app.parent / "log"
    own_app.write_text(
        "import os, time\n"
        "open(os.environ['SITE_LOG'], 'a').write('loading\\n')\n"
        "print('http://127.0.0.1:0', flush=True)\n"
        "time.sleep(600)\n"
    )
    running = start_server("granian", "--workers", "2", "--no-check", app="own")
    eventually(lambda: log.read_text().count("loading") == 2)
    workers = children(running.process.pid)
    os.killpg(running.process.pid, signal.SIGTERM)
    assert gone(running, workers) == 0
    assert "The time is over" not in running.output()


def test_a_second_signal_stops_at_once(start_server: StartServer) -> None:
    """A second SIGTERM cuts what is in flight; the exit status says so."""
    running = start_server("granian")
    workers = children(running.process.pid)
    request = InFlight(running, "cut")
    running.process.send_signal(signal.SIGTERM)
    running.wait_for_output("Stopping")
    running.process.send_signal(signal.SIGTERM)
    assert gone(running, workers) == 1
    request.wait()
    assert request.error is not None


def test_the_graceful_timeout(start_server: StartServer) -> None:
    """What is in flight after `--graceful-timeout` seconds is cut."""
    running = start_server("granian", "--graceful-timeout", "1")
    workers = children(running.process.pid)
    request = InFlight(running, "cut")
    running.process.send_signal(signal.SIGTERM)
    assert gone(running, workers) == 0
    request.wait()
    assert request.error is not None
    assert "The time is over" in running.output()


def test_workers_follow_a_killed_main_process(start_server: StartServer) -> None:
    """Workers whose main process was killed let their requests end, and end."""
    running = start_server("granian", "--workers", "2")
    workers = children(running.process.pid)
    request = InFlight(running, "orphan")
    running.process.kill()
    running.process.wait(DEADLINE)
    running.open_gate("orphan")
    request.wait()
    assert request.body == "waited orphan"
    gone(running, workers)


def test_a_worker_that_dies_is_replaced(start_server: StartServer) -> None:
    """After a worker was killed another one answers."""
    running = start_server("granian")
    (worker,) = children(running.process.pid)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: children(running.process.pid) not in ([], [worker]))

    def answers() -> bool:
        try:
            return ask(running.port, "/").status == 201
        except OSError:
            return False

    eventually(answers)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(DEADLINE) == 0


APP = """
import atexit, os
from demijohn import Demijohn, request
app = Demijohn(__name__)
atexit.register(lambda: open(os.environ["SITE_LOG"], "a").write("exit\\n"))

@app.get("/")
def index():
    return {"version": 1, "many": request.environ["wsgi.multiprocess"], "pid": os.getpid()}
"""


@pytest.fixture
def own_app(tmp_path: Path) -> Path:
    """The file of an application that a test may change."""
    file = tmp_path / "server" / "own.py"
    file.parent.mkdir()
    file.write_text(APP)
    return file


def test_functions_at_exit_run(start_server: StartServer, own_app: Path) -> None:
    """Functions that the application registered with `atexit` run in each worker, once."""
    running = start_server("granian", "-w", "2", app="own")
    assert ask(running.port, "/").json["many"] is True
    # A worker that is told to stop while it loads the application runs none.
    eventually(lambda: [*map(serves, children(running.process.pid))] == [True, True])
    running.process.terminate()
    assert running.process.wait(DEADLINE) == 0
    assert running.log() == ["exit", "exit"]


def test_spawned_workers(tmp_path: Path) -> None:
    """Where processes are spawned, workers get what they need, serve and stop."""
    command = ("-m", "spawned_serve", "--app", "{app}", "serve", "-p", "{port}", "-w", "2")
    running = start(Kind("spawned", command, "granian"), tmp_path)
    try:
        workers = children(running.process.pid)
        assert ask(running.port, "/environ").json["multiprocess"] is True
        os.killpg(running.process.pid, signal.SIGINT)
        assert gone(running, workers) == 0
    finally:
        running.kill()


def test_reload(start_server: StartServer, own_app: Path) -> None:
    """SIGHUP replaces the workers by ones with the new code; code that does not load is reported,
    and the old workers go on.
    """
    running = start_server("granian", app="own")
    (worker,) = children(running.process.pid)
    own_app.write_text("1 / 0")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_output("ZeroDivisionError")
    assert ask(running.port, "/").json["pid"] == worker
    own_app.write_text(APP.replace('"version": 1', '"version": 2 + 40'))
    running.process.send_signal(signal.SIGHUP)
    eventually(lambda: not alive(worker))
    assert ask(running.port, "/").json["version"] == 42
    running.process.terminate()
    assert running.process.wait(DEADLINE) == 0


# ---- addresses


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def test_unix_socket(start_server: StartServer, tmp_path: Path) -> None:
    """`--uds` serves on a socket file; one that a dead server left is replaced, and ours is removed
    at the end.
    """
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    running = start_server("granian", "--uds", str(path))
    assert f"unix:{path}" in running.output()
    connection = UnixConnection(str(path))
    connection.request("GET", "/")
    assert connection.getresponse().status == 201
    connection.close()
    running.process.terminate()
    assert running.process.wait(DEADLINE) == 0
    assert not path.exists()


def run(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `demijohn ARGS...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "demijohn", *args],
        cwd=folder,
        env={"PYTHONPATH": f"{SOURCE}{os.pathsep}{HERE}", "SITE_LOG": "log", "SITE_GATES": "."}
        | env,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def test_an_address_that_is_served(start_server: StartServer, tmp_path: Path) -> None:
    """A port or socket that another server has is an error, not shared with it."""
    running = start_server("granian")
    result = run(tmp_path, "-A", "served_site", "serve", "-p", str(running.port))
    assert (result.returncode, result.stdout) == (1, "")
    assert f"Cannot listen on 127.0.0.1 port {running.port}: Address already" in result.stderr
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "s"))
        taken.listen()
        for path, words in (
            ("s", "another program serves it"),
            ("file", "not a socket"),
            ("none/s", "no such folder"),
        ):
            result = run(tmp_path, "-A", "served_site", "serve", "--uds", path)
            assert result.returncode == 1
            assert words in result.stderr
    result = run(tmp_path, "-A", "served_site", "serve", "-h", "no..host")
    assert result.returncode == 1
    assert "cannot be resolved" in result.stderr


# ---- what is checked first


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        (None, 2, "Could not import 'own'."),
        ("", 2, "Failed to find Flask application or factory in module 'own'."),
        ("import nothing_such", 2, "While importing 'own', an ImportError was raised"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", 1, "could not be loaded: 3"),
        ("import os; os._exit(3)", 1, "ended its process, code 3"),
    ],
)
def test_an_app_that_does_not_load(
    tmp_path: Path, code: str | None, status: int, words: str
) -> None:
    """An app that cannot be loaded ends the command before a worker starts, with its reason."""
    if code is not None:
        (tmp_path / "own.py").write_text(code)
    result = run(tmp_path, "--app", "own", "serve", "-p", "0")
    assert result.returncode == status, result.stderr
    assert words in result.stderr
    assert "worker" not in result.stdout + result.stderr


def test_the_app_is_found_as_for_run(start_server: StartServer, own_app: Path) -> None:
    """A factory with arguments, named by a variable, is served; options have variables too, and
    those with DEMIJOHN_ win.
    """
    own_app.write_text(
        "def create(name):\n"
        "    from demijohn import Demijohn\n"
        "    app = Demijohn(__name__)\n"
        "    app.add_url_rule('/', 'index', lambda: {'name': name})\n"
        "    return app\n"
    )
    variables = {"FLASK_SERVE_WORKERS": "3", "DEMIJOHN_SERVE_WORKERS": "2"}
    variables |= {"FLASK_SERVE_ACCESS_LOG": "1", "FLASK_SERVE_ACCESS_LOG_FORMAT": "%(path)s!"}
    running = start_server("granian", app="own:create('ada')", **variables)
    assert ask(running.port, "/").json == {"name": "ada"}
    assert "2 workers of 20 threads" in running.output()
    running.wait_for_output("/!\n")


def test_without_granian(tmp_path: Path) -> None:
    """Without Granian the command says how to install it and exits with 1; importing the package,
    or this command, never imports Granian.
    """
    code = (
        "import sys, importlib.abc\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'granian':\n"
        "            raise ModuleNotFoundError(name)\n"
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, p=None: None if n == 'granian' else real(n, p)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from demijohn.__main__ import main\n"
        "import demijohn.app, demijohn.cli, demijohn.serve.production, demijohn.serve.worker\n"
        "assert 'granian' not in sys.modules\n"
        "sys.argv = ['demijohn', '--app', 'served_site', 'serve']\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{SOURCE}{os.pathsep}{HERE}"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert 'pip install "demijohn[serve]"' in result.stderr
