"""Advisories about sessions."""

from __future__ import annotations

import ast
import base64
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from advisory_kit import advisory, call, cookies_of, new_app, varies

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "getitem": lambda fw, s: s["a"],
    "get": lambda fw, s: s.get("a"),
    "get missing": lambda fw, s: s.get("x"),
    "in": lambda fw, s: "a" in s,
    "len": lambda fw, s: len(s),
    "bool": lambda fw, s: bool(s),
    "iter": lambda fw, s: list(iter(s)),
    "keys": lambda fw, s: list(s.keys()),
    "values": lambda fw, s: list(s.values()),
    "items": lambda fw, s: list(s.items()),
    "equal": lambda fw, s: s == {"a": 1},
    "repr": lambda fw, s: repr(s),
    "dict": lambda fw, s: dict(s),
    "permanent": lambda fw, s: s.permanent,
    "setitem": lambda fw, s: s.__setitem__("b", 2),
    "delitem": lambda fw, s: s.__delitem__("a"),
    "clear": lambda fw, s: s.clear(),
    "template": lambda fw, s: fw.render_template_string("{{ session.a }}"),
    "template, missing": lambda fw, s: fw.render_template_string("{{ 'x' in session }}"),
    "after hook": lambda fw, s: fw.after_this_request(lambda r: (len(fw.session), r)[1]),
    "copied context": lambda fw, s: in_thread(
        fw.copy_current_request_context(lambda: fw.session.get("a"))
    ),
    "nothing": lambda fw, s: None,
}


def in_thread(function: Callable[[], Any]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def session_app(fw: Any, **config: Any) -> Any:
    """An application whose `/do/<operation>` does that to the session."""
    app = new_app(fw, **config)

    @app.route("/do/<name>")
    def do(name: str) -> str:
        OPERATIONS[name](fw, fw.session)
        return "done"

    @app.route("/start/<int:permanent>")
    def start(permanent: int) -> str:
        fw.session["a"] = 1
        fw.session.permanent = bool(permanent)
        return "started"

    @app.route("/read")
    def read() -> str:
        return repr(sorted(fw.session.items()))

    return app


def start(app: Any, permanent: bool = False) -> list[tuple[str, str]]:
    """The request headers of a client that has a session."""
    cookies = cookies_of(call(app, f"/start/{int(permanent)}"))
    return [("Cookie", f"session={cookies['session']}")]


@advisory("CVE-2023-30861", "CVE-2026-35192")
def refreshed_cookie_varies(fw: Any) -> None:
    """A response that sets the session's cookie, for whatever reason, varies by cookie."""
    for refresh in (True, False):
        app = session_app(fw, SESSION_REFRESH_EACH_REQUEST=refresh)
        for permanent in (True, False):
            headers = start(app, permanent)
            for name in OPERATIONS:
                answer = call(app, f"/do/{name}", headers=headers)
                assert answer.status == 200, name
                if answer.all("Set-Cookie"):
                    assert "cookie" in varies(answer), (name, permanent, refresh)


@advisory("CVE-2026-27205")
def every_access_varies(fw: Any) -> None:
    """Every way of looking at the session makes the response vary by cookie; no look, no Vary."""
    app = session_app(fw)
    headers = start(app)
    for name in OPERATIONS:
        for given in (headers, []):
            if name in ("getitem", "delitem") and not given:
                continue
            answer = call(app, f"/do/{name}", headers=given)
            assert answer.status == 200, name
            if name == "clear" and not given:
                continue
            assert ("cookie" in varies(answer)) == (name != "nothing"), (name, bool(given))


@advisory("CVE-2026-6907")
def vary_is_added_to(fw: Any) -> None:
    """What `Vary` had before stays in it, `*` too, and nothing is there twice."""
    app = new_app(fw)

    @app.route("/")
    def view() -> Any:
        fw.session["a"] = 1
        return "x", {"Vary": fw.request.args["vary"]}

    for vary in ("*", "Accept", "Accept, Accept-Language", "Cookie", "Accept, cookie"):
        answer = call(app, f"/?vary={vary.replace(' ', '%20')}")
        names = {name.strip().lower() for name in vary.split(",")}
        assert varies(answer) >= names, (vary, answer.all("Vary"))
        assert "cookie" in varies(answer) or "*" in varies(answer)
        assert str(answer.all("Vary")).lower().count("cookie") <= 1


@advisory("GHSA-4grg-w6v8-c28g")
def newest_key_signs(fw: Any) -> None:
    """With fallback keys the secret key signs; a fallback reads and is renewed; a key that is gone
    reads nothing.
    """
    app = session_app(fw, SECRET_KEY_FALLBACKS=["old2", "old1"])
    app.secret_key = "new"
    headers = start(app)
    readers = {key: session_app(fw) for key in ("new", "old2", "old1")}
    for key, reader in readers.items():
        reader.secret_key = key
        found = call(reader, "/read", headers=headers)
        assert found.status == 200
        assert (b"'a'" in found.body) == (key == "new"), key
    old = start(readers["old1"])
    assert b"'a'" in call(app, "/read", headers=old).body
    renewed = cookies_of(call(app, "/do/setitem", headers=old))["session"]
    assert b"'a'" in call(readers["new"], "/read", headers=[("Cookie", f"session={renewed}")]).body
    app.config["SECRET_KEY_FALLBACKS"] = ["old2"]
    assert call(app, "/read", headers=old)[::2] == ("200 OK", b"[]")


@advisory("CVE-2018-1000519")
def clients_choose_no_session(fw: Any) -> None:
    """A cookie that was not signed here is an empty session, and is not taken over."""
    app = session_app(fw)
    other = session_app(fw)
    other.secret_key = "other"
    for value in ("chosen", "e30.aaaaaa.bbbb", start(other)[0][1].partition("=")[2], "", "." * 9):
        headers = [("Cookie", f"session={value}")]
        assert call(app, "/read", headers=headers).body == b"[]"
        answer = call(app, "/do/setitem", headers=headers)
        assert value not in cookies_of(answer)["session"] or not value


class Exploit:
    """Tells when somebody unpickles it."""

    ran: list[int] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Exploit.ran.append, (1,)


UNSAFE = {"pickle", "_pickle", "cPickle", "dill", "marshal", "shelve", "yaml", "cloudpickle"}


def unsafe_imports(folder: Path) -> list[str]:
    """The files of a package that import a module whose loading runs code."""
    found = []
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [f"{file.name}: {n}" for n in names if n.partition(".")[0] in UNSAFE]
    return found


@advisory("CVE-2021-23727", "CVE-2025-61765", "CVE-2021-33026")
def sessions_are_not_unpickled(fw: Any) -> None:
    """No module of the package imports a loader that runs code, and a signed pickle stays bytes."""
    assert unsafe_imports(Path(fw.__file__).parent) == []
    app = session_app(fw)
    with app.app_context():
        signer = app.session_interface.get_signing_serializer(app)
    payload = pickle.dumps({"a": Exploit()}, 0)
    signed = signer.make_signer(signer.salt).sign(base64.urlsafe_b64encode(payload))
    answer = call(app, "/read", headers=[("Cookie", "session=" + signed.decode())])
    assert Exploit.ran == []
    assert b"'a'" not in answer.body
