"""Pattern 6: work in a `threading.Thread`: a mail, a copied request context, and a bare thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import BytesIO
from types import ModuleType
from typing import Any

import flask
import pytest

import demijohn
from demijohn import copy_current_request_context, current_app, request, session
from demijohn.context import SessionReadOnly


def in_thread(target: Callable[..., object], *args: Any) -> None:
    """Run `target` in a thread to its end."""
    thread = threading.Thread(target=target, args=args, name="worker")
    thread.start()
    thread.join()


class Mailer:
    """Stands for an extension: it needs `current_app`, and remembers what it sent."""

    def __init__(self, framework: ModuleType) -> None:
        self.framework = framework
        self.sent: list[str] = []

    def send(self, text: str) -> None:
        app = self.framework.current_app
        self.sent.append(f"{app.config['MAIL_SENDER']}: {text}")


def make_app(framework: ModuleType) -> Any:
    app = framework.Flask("shop")
    app.config["MAIL_SENDER"] = "shop@example.com"
    app.secret_key = "key"
    return app


def test_send_async_email(framework: ModuleType) -> None:
    """The application object goes to the thread, which pushes a context and sends with it."""
    app, current_app = make_app(framework), framework.current_app
    mailer = Mailer(framework)
    ended: list[object] = []

    @app.teardown_appcontext
    def teardown(exc: BaseException | None) -> None:
        ended.append(threading.current_thread().name == "worker")

    def send_async_email(app: Any, msg: str) -> None:
        with app.app_context():
            mailer.send(msg)

    @app.get("/order")
    def order() -> str:
        in_thread(send_async_email, current_app._get_current_object(), "thank you")
        return "ordered"

    assert app.test_client().get("/order").text == "ordered"
    assert mailer.sent == ["shop@example.com: thank you"]
    # One end in the thread, then one of the request.
    assert ended == [True, False]


def test_thread_outlives_the_request(framework: ModuleType) -> None:
    """A mail that is sent after the response finds its application still."""
    app, current_app = make_app(framework), framework.current_app
    mailer = Mailer(framework)
    go_on = threading.Event()
    threads: list[threading.Thread] = []

    def send_async_email(app: Any, msg: str) -> None:
        go_on.wait(60)
        with app.app_context():
            mailer.send(msg)

    @app.get("/order")
    def order() -> str:
        app = current_app._get_current_object()
        threads.append(threading.Thread(target=send_async_email, args=(app, "later")))
        threads[0].start()
        return "ordered"

    assert app.test_client().get("/order").text == "ordered"
    assert mailer.sent == []
    go_on.set()
    threads[0].join()
    assert mailer.sent == ["shop@example.com: later"]


def test_g_of_the_request_is_not_in_the_thread(framework: ModuleType) -> None:
    """The thread's app context has a `g` of its own."""
    app, g = make_app(framework), framework.g
    seen: list[bool] = []

    def work(app: Any) -> None:
        with app.app_context():
            seen.append("user" in g)
            g.user = "thread"

    @app.get("/")
    def index() -> str:
        g.user = "request"
        in_thread(work, framework.current_app._get_current_object())
        return str(g.user)

    assert app.test_client().get("/").text == "request"
    assert seen == [False]


def test_copy_current_request_context(framework: ModuleType) -> None:
    """In a copied function `request`, `session` and `current_app` are readable."""
    app = make_app(framework)
    mailer = Mailer(framework)
    seen: list[object] = []

    @app.get("/order/<int:number>")
    def order(number: int) -> str:
        framework.session["user"] = "ada"

        @framework.copy_current_request_context
        def send(text: str) -> None:
            request, session = framework.request, framework.session
            seen.append((request.path, request.args["lang"], request.view_args, session["user"]))
            seen.append(framework.url_for("order", number=8))
            mailer.send(text)

        in_thread(send, "thank you")
        return "ordered"

    assert app.test_client().get("/order/7?lang=de").text == "ordered"
    assert seen == [("/order/7", "de", {"number": 7}, "ada"), "/order/8"]
    assert mailer.sent == ["shop@example.com: thank you"]


def test_copied_function_keeps_its_name_and_returns(framework: ModuleType) -> None:
    """The copied function is called with arguments, returns and raises as the function itself."""
    with make_app(framework).test_request_context("/"):

        @framework.copy_current_request_context
        def add(a: int, *, b: int) -> int:
            """Add."""
            return a + b

        @framework.copy_current_request_context
        def fail() -> None:
            raise KeyError("no")

        assert (add.__name__, add.__doc__) == ("add", "Add.")
        assert add(1, b=2) == 3
        with pytest.raises(KeyError):
            fail()
        assert framework.request.path == "/"


def test_copy_outside_a_request_is_refused(framework: ModuleType) -> None:
    """Without a request there is nothing to copy: a `RuntimeError` at decoration."""
    with pytest.raises(RuntimeError, match="request context"):
        framework.copy_current_request_context(lambda: None)


def test_bare_thread_gets_the_error(framework: ModuleType) -> None:
    """A thread that was given nothing gets "Working outside of ..." for each proxy."""
    app = make_app(framework)
    errors: list[str] = []

    def work() -> None:
        for use in (
            lambda: framework.current_app.name,
            lambda: framework.g.user,
            lambda: framework.request.path,
            lambda: framework.session["user"],
        ):
            with pytest.raises(RuntimeError) as caught:
                use()
            errors.append(str(caught.value).splitlines()[0])

    @app.get("/")
    def index() -> str:
        in_thread(work)
        return "ok"

    assert app.test_client().get("/").text == "ok"
    assert errors == [
        "Working outside of application context.",
        "Working outside of application context.",
        "Working outside of request context.",
        "Working outside of request context.",
    ]


def test_bare_thread_gets_it_explained() -> None:
    """The error in a bare thread names the thread, its target, and the two ways to mend it.

    Flask's text does not say that a thread is the cause.
    """
    texts: list[str] = []

    def send_async_email() -> None:
        with pytest.raises(RuntimeError) as caught:
            current_app.config["MAIL_SENDER"]
        texts.append(str(caught.value))

    with make_app(demijohn).test_request_context("/"):
        in_thread(send_async_email)
    assert "'worker'" in texts[0]
    assert "send_async_email" in texts[0]
    assert "ContextThread" in texts[0]
    assert "in_child" in texts[0]


# -- a child harms nobody: departures from Flask --------------------------------------------------


def request_log(framework: ModuleType) -> list[str]:
    """What happens at ends when a view runs one copied function in a thread."""
    app = make_app(framework)
    log: list[str] = []
    app.teardown_request(lambda exc: log.append("teardown_request"))
    app.teardown_appcontext(lambda exc: log.append("teardown_appcontext"))

    @app.post("/")
    def upload() -> str:
        file = framework.request.files["file"]

        @framework.copy_current_request_context
        def look() -> None:
            log.append("thread")

        in_thread(look)
        log.append(f"file {'closed' if file.closed else 'open'}")
        return "ok"

    data = {"file": (BytesIO(b"text"), "notes.txt")}
    assert app.test_client().post("/", data=data).text == "ok"
    return log


def test_child_leaves_the_request_alone() -> None:
    """A copied function ends its own app context alone, and closes nothing of the request's.

    Flask runs `teardown_request` for the copy too and closes the request's files under the view.
    """
    assert request_log(demijohn) == [
        "thread",
        "teardown_appcontext",
        "file open",
        "teardown_request",
        "teardown_appcontext",
    ]
    assert request_log(flask) == [
        "thread",
        "teardown_request",
        "teardown_appcontext",
        "file closed",
        "teardown_request",
        "teardown_appcontext",
    ]


def test_child_does_not_match_again() -> None:
    """A view's change of `request.view_args` is still there after a copied function ran.

    In Flask the copy's push matches the URL again and overwrites them.
    """

    def view_args(framework: ModuleType) -> object:
        app = make_app(framework)

        @app.get("/<lang>/")
        def page(lang: str) -> str:
            framework.request.view_args.pop("lang")
            in_thread(framework.copy_current_request_context(lambda: None))
            return repr(framework.request.view_args)

        return app.test_client().get("/de/").text

    assert view_args(demijohn) == "{}"
    assert view_args(flask) == "{'lang': 'de'}"


def test_one_copied_function_in_many_threads() -> None:
    """One copied function may be called by several threads at once, each in its own context.

    Flask keeps one context for all calls; two that overlap pop each other's and raise.
    """
    app = make_app(demijohn)
    barrier = threading.Barrier(4, timeout=60)
    seen: list[tuple[str, bool]] = []

    @app.get("/work")
    def work() -> str:
        @copy_current_request_context
        def part(number: int) -> None:
            barrier.wait()
            seen.append((request.path, "number" in demijohn.g))
            demijohn.g.number = number
            barrier.wait()

        threads = [threading.Thread(target=part, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return "done"

    assert app.test_client().get("/work").text == "done"
    assert seen == [("/work", False)] * 4


def test_copied_function_outlives_the_request() -> None:
    """After the response a copied function still reads request, uploads and session.

    In Flask the request's files are closed by then.
    """
    app = make_app(demijohn)
    go_on = threading.Event()
    threads: list[threading.Thread] = []
    seen: list[object] = []

    @app.post("/upload")
    def upload() -> str:
        session["user"] = "ada"
        request.files["file"]

        @copy_current_request_context
        def process() -> None:
            go_on.wait(60)
            seen.append(request.files["file"].read())
            seen.append((request.path, session["user"]))

        threads.append(threading.Thread(target=process))
        threads[0].start()
        return "accepted"

    data = {"file": (BytesIO(b"a long report"), "report.txt")}
    assert app.test_client().post("/upload", data=data).text == "accepted"
    go_on.set()
    threads[0].join()
    assert seen == [b"a long report", ("/upload", "ada")]


def test_session_is_shared_until_the_response_is_final(framework: ModuleType) -> None:
    """What a copied function writes to the session before the view returns is in the cookie."""
    app = make_app(framework)

    @app.get("/login")
    def login() -> str:
        framework.session["user"] = "ada"

        @framework.copy_current_request_context
        def remember() -> None:
            framework.session["seen"] = True

        in_thread(remember)
        return "ok"

    @app.get("/who")
    def who() -> dict[str, Any]:
        return dict(framework.session)

    client = app.test_client()
    client.get("/login")
    assert client.get("/who").get_json() == {"user": "ada", "seen": True}


def test_writing_the_session_too_late_raises() -> None:
    """A write that can no longer reach the client raises; reading goes on.

    In Flask the write is lost without a word.
    """
    app = make_app(demijohn)
    go_on = threading.Event()
    threads: list[threading.Thread] = []
    seen: list[object] = []

    @app.get("/login")
    def login() -> str:
        session["user"] = "ada"

        @copy_current_request_context
        def too_late() -> None:
            go_on.wait(60)
            seen.append(session["user"])
            with pytest.raises(SessionReadOnly):
                session["seen"] = True
            seen.append("seen" in session)

        threads.append(threading.Thread(target=too_late))
        threads[0].start()
        return "ok"

    assert app.test_client().get("/login").text == "ok"
    go_on.set()
    threads[0].join()
    assert seen == ["ada", False]
