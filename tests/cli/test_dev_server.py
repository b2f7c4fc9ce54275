"""The development server as a process, asked by a real HTTP client over a socket."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demijohn.serve.dev import failed_app

Write = Callable[[str, str], Path]
Start = Callable[..., Any]

RUN = ("-m", "demijohn", "run", "--port", "0")
SITE = """\
from demijohn import Demijohn, current_app, request
app = Demijohn(__name__)

@app.get("/")
def index():
    return f"{version} {current_app.debug} {request.environ['wsgi.multithread']}"

@app.get("/fail")
def fail():
    raise LookupError("no luck")

version = 1
"""


def address(process: Any) -> tuple[str, int]:
    """Host and port that the server printed when it had bound them."""
    line = process.wait_for("Running on ")
    found = re.search(r"http://([^:/]+):(\d+)", line)
    assert found, line
    return found[1], int(found[2])


def get(host: str, port: int, path: str = "/") -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_run_serves_until_interrupted(write: Write, start: Start) -> None:
    """`demijohn run` prints app, mode and address, answers, and ends by Ctrl+C with status 0."""
    write("app.py", SITE)
    process = start(*RUN)
    process.wait_for(" * Debug mode: off")
    host, port = address(process)
    assert get(host, port) == (200, "1 False True")
    assert get(host, port, "/fail")[0] == 500
    assert get(host, port, "/none")[0] == 404
    process.interrupt()
    assert process.end()[0] == 0


def test_served_like_flask(write: Write, start: Start) -> None:
    """The development server answers, logs and ends as `flask run` does."""
    write("site_app.py", SITE)
    write("flask_app.py", SITE.replace("demijohn", "flask").replace("Demijohn", "Flask"))
    answers, lines = [], []
    for framework, app in (("demijohn", "site_app"), ("flask", "flask_app")):
        process = start("-m", framework, "--app", app, "run", "--port", "0")
        host, port = address(process)
        for path in ("/", "/fail", "/none", "/static/none"):
            connection = http.client.HTTPConnection(host, port, timeout=60)
            connection.request("GET", path)
            response = connection.getresponse()
            headers = [h for h in response.getheaders() if h[0] != "Date"]
            answers.append((response.status, headers, response.read()))
            connection.close()
        lines.append(process.wait_for("GET /static/none HTTP/1.1").rpartition('"')[2])
        process.interrupt()
        assert process.end()[0] == 0
    half = len(answers) // 2
    assert answers[:half] == answers[half:]
    assert lines == [" 404 -\n"] * 2


def test_banner_names_the_app(write: Write, start: Start) -> None:
    """The banner has the import path that was given, also when a variable gave it."""
    write("board.py", SITE)
    for process in (
        start("-m", "demijohn", "-A", "board:app", "run", "-p", "0"),
        start(*RUN, FLASK_APP="board:app"),
        start(*RUN, DEMIJOHN_APP="board:app", FLASK_APP="no.such.app"),
    ):
        process.wait_for(" * Serving Demijohn app 'board:app'")
        process.wait_for("Running on ")


def test_options_reach_the_server(write: Write, start: Start) -> None:
    """Host and threads are those of the options or variables."""
    write("app.py", SITE)
    process = start(*RUN, "--without-threads", FLASK_RUN_HOST="localhost")
    assert get(*address(process)) == (200, "1 False False")


def test_reload_through_a_mistake(write: Write, start: Start) -> None:
    """In debug mode a change is served at once, an error in it is shown, and mending it helps."""
    path = write("app.py", SITE)
    process = start("-m", "demijohn", "--debug", "run", "--port", "0")
    process.wait_for(" * Debug mode: on")
    where = address(process)
    assert get(*where) == (200, "1 True True")

    def change(text: str) -> tuple[int, str]:
        path.write_text(text)
        # The socket stays open meanwhile: the next request waits in it for the new process.
        process.wait_for("Detected change in")
        process.wait_for("Restarting with")
        return get(*where)

    assert change(SITE + "version = 2\n") == (200, "2 True True")
    status, page = change(SITE + "1 / 0\n")
    assert status == 500
    assert "ZeroDivisionError" in page
    process.wait_for("ZeroDivisionError")
    assert change(SITE + "version = 30\n") == (200, "30 True True")


@pytest.mark.parametrize(
    ("options", "shown"),
    [(["--debug", "--no-reload"], True), (["--no-debugger", "--debug"], False)],
)
def test_debugger(write: Write, start: Start, options: list[str], shown: bool) -> None:
    """The debugger's page is shown in debug mode, unless it is turned off."""
    write("app.py", SITE)
    process = start(*RUN, *options)
    status, page = get(*address(process), "/fail")
    assert status == 500
    assert ("Werkzeug" in page and "no luck" in page) is shown


def test_extra_file_restarts(write: Write, start: Start) -> None:
    """A change of an extra file restarts the server; one of an excluded file does not."""
    write("app.py", SITE)
    extra, ignored = write("extra.txt", ""), write("ignored.py", "version = 1\n")
    write("app.py", SITE + "import ignored; version = open('extra.txt').read()\n")
    process = start(
        *RUN, "--reload", "--extra-files", "extra.txt", "--exclude-patterns", "*ignored.py"
    )
    where = address(process)
    assert get(*where) == (200, " False True")
    ignored.write_text("1 / 0\n")
    extra.write_text("changed")
    assert "extra.txt" in process.wait_for("Detected change in")
    process.wait_for("Restarting with")


def test_port_in_use(write: Write, start: Start) -> None:
    """A port that something listens on ends the command with status 1 and says so."""
    write("app.py", SITE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = start("-m", "demijohn", "run", "--port", str(port)).end()
    assert code == 1
    assert "Address already in use" in output
    assert f"Port {port}" in output


# ---- app.run()

SCRIPT = (
    SITE
    + """
if __name__ == "__main__":
    app.run(ARGS)
    app.add_url_rule("/later", "later", index)
    print("open again", app.debug)
"""
)


def test_app_run(write: Write, start: Start) -> None:
    """app.run() serves until interrupted; afterwards the app's setup is open again."""
    write("board.py", SCRIPT.replace("ARGS", "port=0"))
    process = start("board.py")
    process.wait_for(" * Serving Demijohn app 'board'")
    where = address(process)
    assert get(*where) == (200, "1 False True")
    process.interrupt()
    process.wait_for("open again False")
    assert process.end()[0] == 0


@pytest.mark.parametrize(
    ("args", "dotenv", "env", "debug"),
    [
        ("", "", {}, False),
        ("", "FLASK_DEBUG=1", {}, True),
        ("", "", {"FLASK_DEBUG": "1"}, True),
        ("debug=False", "FLASK_DEBUG=1", {}, False),
        ("debug=True", "", {}, True),
        ("load_dotenv=False", "FLASK_DEBUG=1", {}, False),
        ("", "FLASK_DEBUG=1", {"FLASK_SKIP_DOTENV": "1"}, False),
    ],
)
def test_app_run_debug(
    write: Write, start: Start, args: str, dotenv: str, env: dict[str, str], debug: bool
) -> None:
    """Debug mode is the argument's, else FLASK_DEBUG's, which .env may set."""
    write(".env", dotenv)
    write("board.py", SCRIPT.replace("ARGS", f"port=0, use_reloader=False, {args}"))
    process = start("board.py", **env)
    process.wait_for(f" * Debug mode: {'on' if debug else 'off'}")
    assert get(*address(process)) == (200, f"1 {debug} True")


@pytest.mark.parametrize(
    ("server_name", "args", "expected"),
    [
        ("localhost:{free}", "", "localhost:{free}"),
        ("localhost:1", "port={free}", "localhost:{free}"),
        ("localhost:{free}", "'127.0.0.1'", "127.0.0.1:{free}"),
        ("localhost:{free}", "'', ''", "localhost:{free}"),
        ("localhost", "port='{free}'", "localhost:{free}"),
        (None, "port={free}", "127.0.0.1:{free}"),
    ],
)
def test_app_run_address(
    write: Write, start: Start, server_name: str | None, args: str, expected: str
) -> None:
    """Host and port come from the arguments, then from SERVER_NAME, then from the defaults."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    if server_name is not None:
        server_name = server_name.format(free=free)
    script = SCRIPT.replace("ARGS", args.format(free=free))
    write("board.py", script.replace("version = 1", f"app.config['SERVER_NAME'] = {server_name!r}"))
    host, port = address(start("board.py"))
    assert f"{host}:{port}" == expected.format(free=free)


def test_app_run_on_port_5000_by_default() -> None:
    """With neither argument nor SERVER_NAME the address is 127.0.0.1:5000."""
    from demijohn.serve.dev import _address

    assert _address(None, None, None) == ("127.0.0.1", 5000)
    assert _address("site.example", None, None) == ("site.example", 5000)
    assert _address("site.example:80", None, 0) == ("site.example", 0)


def test_failed_app_keeps_the_first_traceback() -> None:
    """Each request raises the same error, and its traceback does not grow from one to the next."""
    try:
        raise LookupError("no luck")
    except LookupError as caught:
        error = caught
    app = failed_app(error)
    depths = []
    for _ in range(3):
        with pytest.raises(LookupError) as raised:
            app({}, lambda *args: lambda data: None)
        assert raised.value is error
        depths.append(len(raised.traceback))
    assert len(set(depths)) == 1


def test_https(write: Write, start: Start, tmp_path: Path) -> None:
    """With --cert and --key the server speaks TLS and shows that certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is missing: apt-get install -y openssl")
    write("app.py", SITE)
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    process = start(*RUN, "--cert", "cert.pem", "--key", "key.pem")
    found = re.search(r"https://127.0.0.1:(\d+)", process.wait_for("Running on "))
    assert found
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", int(found[1]), context=trusted)
    try:
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
    finally:
        connection.close()
