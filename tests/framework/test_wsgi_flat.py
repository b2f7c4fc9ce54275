"""The pipeline in one piece against its parts, and the tool that writes the one from the other."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from demijohn import Demijohn, abort, g, got_request_exception, request, session
from demijohn.framework.contexts import RequestContext
from demijohn.serve import wsgi, wsgi_flat, wsgi_request
from tools import flat_bodies, flatten

Log = list[Any]

pytestmark = pytest.mark.usefixtures("in_one_piece")


class Refused(Exception):
    """Raised by views, and handled or not."""


def application(log: Log, *, propagates: bool = False) -> Demijohn:
    """An application that notes who is called."""
    app = Demijohn("flat")
    app.secret_key = "secret"
    app.config["PROPAGATE_EXCEPTIONS"] = propagates

    @app.url_value_preprocessor
    def preprocess(endpoint: str | None, values: dict[str, Any] | None) -> None:
        log.append(("values", endpoint, values))

    @app.before_request
    def before() -> Any:
        g.name = request.args.get("name")
        log.append(("before", g.name))
        if g.name == "stop":
            return {"stopped": True}
        return abort(403) if g.name == "abort" else None

    @app.after_request
    def after(response: Any) -> Any:
        log.append(("after", response.status, request.endpoint))
        response.headers["X-Name"] = str(g.name)
        if g.name == "fail-after":
            raise Refused("after")
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        log.append(("teardown", repr(error), g.get("name")))
        if g.get("name") == "fail-teardown":
            raise Refused("teardown")

    @app.teardown_appcontext
    def teardown_app(error: BaseException | None) -> None:
        log.append(("teardown app", repr(error)))

    @app.errorhandler(404)
    def missing(error: Exception) -> tuple[str, int]:
        return f"no {request.path}", 404

    @app.errorhandler(KeyError)
    def key_error(error: Exception) -> tuple[dict[str, str], int]:
        return {"key": str(error)}, 400

    routes(app)
    return app


def routes(app: Demijohn) -> None:
    """What the requests below ask for."""
    app.add_url_rule("/text", "text", lambda: "text")
    app.add_url_rule("/data/<int:id>", "data", lambda id: {"id": id, "name": g.name})
    app.add_url_rule("/bytes", "bytes", lambda: b"bytes")
    app.add_url_rule("/list/", "list", lambda: [1, 2])
    app.add_url_rule("/created", "created", lambda: ("made", 201, {"X-Made": "yes"}))
    app.add_url_rule("/none", "none", lambda: None)
    app.add_url_rule("/stream", "stream", lambda: iter(["a", "b"]))
    app.add_url_rule("/post", "post", lambda: request.get_json(), methods=["POST"])
    app.add_url_rule("/session", "session", lambda: str(session.setdefault("n", 1)))
    app.add_url_rule("/key", "key", lambda: {}["key"])
    app.add_url_rule("/refused", "refused", refuse)
    app.add_url_rule("/deep", "deep", deep)


def refuse() -> None:
    raise Refused("view")


def deep() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


REQUESTS = [
    *(("GET", "/text"), ("HEAD", "/text"), ("OPTIONS", "/text"), ("POST", "/text")),
    *(("GET", "/data/5"), ("GET", "/data/five"), ("GET", "/bytes"), ("GET", "/list/")),
    *(("GET", "/list"), ("GET", "/created"), ("GET", "/none"), ("GET", "/stream")),
    *(("POST", "/post"), ("GET", "/session"), ("GET", "/key"), ("GET", "/refused")),
    *(("GET", "/deep"), ("GET", "/no/such/page"), ("GET", "/text?name=stop")),
    *(("GET", "/text?name=abort"), ("GET", "/data/5?name=fail-after")),
    *(("GET", "/data/5?name=fail-teardown"), ("GET", "/refused?name=fail-teardown")),
]


def answers(app: Demijohn, log: Log) -> list[Any]:
    """What each request is answered, twice, as the index learns hosts by the first."""
    got_request_exception.connect(lambda sender, exception: log.append(repr(exception)), app, False)
    return [[answer(app, *asked) for asked in REQUESTS] for _ in range(2)]


def answer(app: Demijohn, method: str, url: str) -> Any:
    path, _, query = url.partition("?")
    sent: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SCRIPT_NAME": "",
        "HTTP_HOST": "localhost",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "2",
        "wsgi.input": io.BytesIO(b"{}"),
        "wsgi.errors": io.StringIO(),
    }
    try:
        body = app(environ, lambda *told: sent.append(told) or (lambda data: None))
        pieces = [*body]
        getattr(body, "close", lambda: None)()
    except Exception as error:
        return repr(error), len(sent)
    cookies = [name for name, _ in sent[0][1] if name == "Set-Cookie"]
    headers = [pair for pair in sent[0][1] if pair[0] != "Set-Cookie"]
    return sent[0][0], headers, cookies, pieces


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def switch() -> None:
        monkeypatch.setattr(wsgi, "serve", wsgi_request.serve)

    return switch


@pytest.mark.parametrize("propagates", [False, True])
def test_both_forms_answer_alike(propagates: bool, in_parts: Callable[[], None]) -> None:
    """In one piece and in parts, requests are answered alike, and the same functions are called."""
    logs: list[Log] = [[], []]
    apps = [application(log, propagates=propagates) for log in logs]
    first = answers(apps[0], logs[0])
    assert apps[0]._plans.overrides.flat
    in_parts()
    assert answers(apps[1], logs[1]) == first
    assert logs[1] == logs[0]
    assert len(logs[0]) > 2 * len(REQUESTS)


def test_one_piece_is_what_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain application is served without the pipeline's parts, one with an override by them."""
    app = application([])

    def never(*args: Any) -> Any:
        raise AssertionError("called")

    monkeypatch.setattr(wsgi_flat, "wsgi_request_serve", never)
    assert answer(app, "GET", "/text")[0] == "200 OK"
    setattr(app, "dispatch_request", lambda: "other")
    assert answer(app, "GET", "/text") == (repr(AssertionError("called")), 0)
    del app.dispatch_request
    assert answer(app, "GET", "/text")[3] == [b"text"]


def test_a_method_put_into_the_context_class_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set on the framework's own `RequestContext` is called for the next request."""
    app = application([])
    assert answer(app, "GET", "/text")[0] == "200 OK"
    called: list[RequestContext] = []
    own = RequestContext.match_request

    def match_request(self: RequestContext) -> None:
        called.append(self)
        own(self)

    with monkeypatch.context() as patch:
        patch.setattr(RequestContext, "match_request", match_request)
        assert answer(app, "GET", "/text")[0] == "200 OK"
    assert answer(app, "GET", "/text")[0] == "200 OK"
    assert len(called) == 1


# -- the tool -------------------------------------------------------------------------------------

CASES = {
    "a value": "return items",
    "in branches": "if items:\n return items[0]\nif items is None:\n return -1\nlog('rest')",
    "in a loop": "for item in items or ():\n if item > 1:\n  return item\nreturn 0",
    "in an inner loop": (
        "for item in items or ():\n for other in range(item):\n  if other > 1:\n"
        "   return item, other\n log(item)\nlog('end')\nreturn 0"
    ),
    "after a loop that goes on": (
        "for item in items or ():\n for other in range(item):\n  if other > 1:\n   return other"
        "\n if item == 1:\n  continue\n log(item)"
    ),
    "in try": "try:\n return items[1]\nexcept IndexError:\n log('index')\nfinally:\n log('last')",
    "of a handler": "try:\n items[1]\nexcept (IndexError, TypeError) as error:\n return str(error)",
}


def returned(body: list[ast.stmt]) -> Callable[[Any], Any]:
    """A function with that body, which gives its value and what it logged."""
    made = ast.parse("def made(items):\n target = 'unset'\n return target")
    function = made.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body[1:1] = body

    def run(items: Any) -> Any:
        logged: Log = []
        space: dict[str, Any] = {"log": logged.append}
        exec(compile(ast.fix_missing_locations(made), "made", "exec"), space)
        try:
            return space["made"](items), logged
        except (TypeError, IndexError) as error:
            return repr(error), logged

    return run


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_a_body_without_returns_gives_the_same(text: str) -> None:
    """A body whose returns became assignments gives the value, and does what it did."""
    whole = "def whole(items):\n" + "\n".join(f"  {line}" for line in text.split("\n"))
    called = returned(ast.parse(f"{whole}\ntarget = whole(items)").body)
    target = ast.Name("target", ast.Store())
    inlined = returned(flat_bodies.without_returns(ast.parse(text).body, target))
    for items in given():
        assert inlined(items) == called(items)


def given() -> Iterator[Any]:
    yield from (None, [], [1], [2], [1, 2], [3, 1, 2], [1, 1, 5])


def test_what_is_known_is_put_in() -> None:
    """Conditions that are known are left out, with the branches that are never taken."""
    text = "if a.x and b:\n one()\nelif not a.y or c:\n two()\nvalue = d if a.x else e"
    folded = flat_bodies.Folding({"a.x": False, "a.y": True}).visit(ast.parse(text))
    assert ast.unparse(folded) == "if c:\n    two()\nvalue = e"


def test_a_name_that_nothing_stands_for_is_refused() -> None:
    """The tool writes no name that its sources do not have."""
    sources = flatten.Sources()
    function, module = sources.functions["after_hooks"]
    function.body.insert(0, ast.parse("nobody()").body[0])
    with pytest.raises(SystemExit, match="nobody"):
        flatten.Flattening(sources, "after_hooks", {}).prepared(function, "after_hooks", module)
