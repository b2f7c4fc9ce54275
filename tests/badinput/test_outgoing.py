"""Control characters in what an application sends: an error in the application, never on the wire.

Each case is a view that puts text of an attacker's into status, headers or cookies. It runs on the
development server, and the reply is read from the socket.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from badinput_kit import Reply, exchange, make_site, message, served
from werkzeug.http import parse_cookie

import demijohn

BAD = [
    "\r\nX-Injected: 1",
    "\nX-Injected: 1",
    "\rX-Injected: 1",
    "\x00",
    "\x0bb",
    "\x1b[31m",
    "\x7f",
]
Case = Callable[[Any, str], Any]


def assign(fw: Any, text: str) -> Any:
    response = fw.make_response("x")
    response.status = f"200 OK{text}"
    return response


def late(fw: Any, text: str) -> Any:
    @fw.after_this_request
    def hook(response: Any) -> Any:
        response.headers["X-A"] = text
        return response

    return "x"


def foreign(fw: Any, text: str) -> Any:
    import werkzeug

    return werkzeug.Response("x", headers={"X-A": "a"} | {f"X-B{text}": "b"})


def cookie(**attributes: str) -> Case:
    def case(fw: Any, text: str) -> Any:
        response = fw.make_response("x")
        given = {name: value.format(text) for name, value in attributes.items()}
        response.set_cookie(**{"key": "k", "value": "v"} | given)
        return response

    return case


def session_setting(key: str) -> Case:
    def case(fw: Any, text: str) -> Any:
        fw.current_app.config[key] = f"x{text}"
        fw.session["a"] = 1
        return "x"

    return case


CASES: dict[str, Case] = {
    "status of a tuple": lambda fw, text: ("x", f"200 OK{text}"),
    "status with headers": lambda fw, text: ("x", f"200 OK{text}", {"X-A": "b"}),
    "status assigned": assign,
    "status of a response": lambda fw, text: fw.Response("x", f"200 OK{text}"),
    "header value": lambda fw, text: ("x", {"X-A": f"a{text}"}),
    "header name": lambda fw, text: ("x", {f"X-A{text}": "a"}),
    "header pair": lambda fw, text: ("x", 200, [("X-A", f"a{text}")]),
    "header of an after hook": late,
    "content type": lambda fw, text: fw.Response("x", content_type=f"text/html{text}"),
    "mimetype": lambda fw, text: fw.Response("x", mimetype=f"text/html{text}"),
    "redirect": lambda fw, text: fw.redirect(f"/a{text}"),
    "file name": lambda fw, text: fw.send_file(
        io.BytesIO(b"x"), "text/plain", as_attachment=True, download_name=f"a{text}"
    ),
    "name of a foreign header": foreign,
    "stream": lambda fw, text: fw.Response(iter(["x"]), headers={"X-A": text}),
    "cookie name": cookie(key="k{}"),
    "cookie domain": cookie(domain="a.com{}"),
    "cookie samesite": cookie(samesite="Lax{}"),
    "cookie expires": cookie(expires="0{}"),
    "cookie max age": cookie(max_age="0{}"),
    "session cookie's name": session_setting("SESSION_COOKIE_NAME"),
    "session cookie's domain": session_setting("SESSION_COOKIE_DOMAIN"),
    "session cookie's samesite": session_setting("SESSION_COOKIE_SAMESITE"),
}
# What is quoted instead: cookie values and paths.
QUOTED: dict[str, Case] = {
    "cookie value": cookie(value="v{}"),
    "cookie path": cookie(path="/{}"),
    "session cookie's path": session_setting("SESSION_COOKIE_PATH"),
}


def outgoing(fw: Any) -> Any:
    """The site with a view for all cases: it is told which and with what text."""
    app = make_site(fw)
    settings = dict(app.config)

    @app.before_request
    def same_settings() -> None:
        app.config.update(settings)

    @app.get("/case/<name>/<int:number>")
    def view(name: str, number: int) -> Any:
        return {**CASES, **QUOTED}[name](fw, [*BAD, ";", "; Secure"][number])

    return app


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[Any, tuple[Any, tuple[str, int]]]]:
    apps = {fw: outgoing(fw) for fw in (demijohn, flask)}
    with served(apps[demijohn]) as ours, served(apps[flask]) as theirs:
        yield {demijohn: (apps[demijohn], ours), flask: (apps[flask], theirs)}


def ask(sites: Any, fw: Any, name: str, number: int) -> tuple[Reply, list[BaseException]]:
    """The reply, and what the application reported as failed meanwhile."""
    app, address = sites[fw]
    before = len(app.ledger.errors)
    reply = exchange(address, message(f"/case/{name}/{number}".replace(" ", "%20").encode()))
    if fw is demijohn:
        app.ledger.check()
        assert exchange(address, message(b"/number/7")).body == b"7"
    return reply, app.ledger.errors[before:]


@pytest.mark.parametrize("number", range(len(BAD)))
@pytest.mark.parametrize("name", CASES)
def test_control_characters_do_not_leave(sites: Any, name: str, number: int) -> None:
    """The response is a 500 of the application's, made by a ValueError that it could handle."""
    reply, errors = ask(sites, demijohn, name, number)
    assert reply.status == 500
    assert reply.get("X-Injected") is None
    assert [type(error) for error in errors] == [ValueError]


@pytest.mark.parametrize("number", range(len(BAD) + 2))
@pytest.mark.parametrize("name", QUOTED)
def test_control_characters_are_quoted_as_by_flask(sites: Any, name: str, number: int) -> None:
    """Cookie values and paths may have any character: both frameworks quote it, and alike."""
    (ours, _), (theirs, _) = (ask(sites, fw, name, number) for fw in (demijohn, flask))
    assert ours.status == theirs.status == 200
    mine, other = ours.get("Set-Cookie"), theirs.get("Set-Cookie")
    assert mine is not None and other is not None
    assert mine.count(";") == other.count(";") and mine.isprintable()
    if "session" not in name and "\x1b" not in other:  # Werkzeug forgets to quote 0x1a to 0x1f.
        assert mine == other
    if name == "cookie value":
        value = parse_cookie(mine.partition(";")[0])["k"]
        assert value == "v" + [*BAD, ";", "; Secure"][number]


@pytest.mark.parametrize("name", [n for n in CASES if "cookie" in n])
@pytest.mark.parametrize("number", [len(BAD), len(BAD) + 1])
def test_cookie_attributes_are_not_added(sites: Any, name: str, number: int) -> None:
    """A semicolon in a cookie's name or attribute is refused: it would start an attribute."""
    reply, errors = ask(sites, demijohn, name, number)
    assert (reply.status, [type(error) for error in errors]) == (500, [ValueError])


def test_flask_lets_some_through(sites: Any) -> None:
    """Known-bad control: from Flask's server an injected header comes in the status line."""
    found = {name for name in CASES if ask(sites, flask, name, 0)[0].get("X-Injected")}
    assert "status of a tuple" in found and "cookie domain" not in found
    assert ask(sites, flask, "cookie domain", len(BAD) + 1)[0].status == 200


# -- the log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fw", [demijohn, flask], ids=["demijohn", "flask"])
def test_a_client_cannot_write_log_lines(fw: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Control characters of path and method are escaped in the log of a failed request; Flask, the
    control, logs them as they came.
    """
    app = fw.Flask("site", static_folder=None)
    app.logger.propagate = True

    @app.route("/fail/<name>")
    def fail(name: str) -> None:
        raise LookupError("failed")

    with caplog.at_level(logging.ERROR):
        environ = {"PATH_INFO": "/fail/a\nERROR in app: \x1b[31m\xe2\x80\xa8\xc2\x9b\xc3\xa4"}
        assert app.test_client().get("/", environ_overrides=environ).status_code == 500
        assert app.test_client().get("/fail/plain \xe4").status_code == 500
    first, second = [record.getMessage() for record in caplog.records]
    assert second == "Exception on /fail/plain \xe4 [GET]"
    if fw is demijohn:
        assert first == "Exception on /fail/a\\x0aERROR in app: \\x1b[31m\\u2028\\x9b\xe4 [GET]"
    else:
        assert "\nERROR in app: \x1b" in first
