"""Class-based views, each on our views and application and on Flask's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flask
import flask.views
import pytest

import demijohn
from demijohn import Demijohn
from demijohn.framework import views

Views = Any
"""Our module or Flask's: each class below is made on both."""


def answers(make: Callable[[Views], type[Any]], *calls: tuple[str, str]) -> list[tuple[int, bytes]]:
    """Register the class made on our views and the one made on Flask's; return the answers to the
    calls, which must be the same."""
    results = []
    for module, framework in ((views, demijohn), (flask.views, flask)):
        app = framework.Flask(__name__)
        view = make(module).as_view("the_view")
        app.add_url_rule("/<int:n>", view_func=view)
        app.add_url_rule("/", view_func=view)
        client = app.test_client()
        got = [client.open(path, method=method) for method, path in calls]
        results.append([(r.status_code, r.data, r.headers.get("Allow")) for r in got])
    assert [r[:2] for r in results[0]] == [r[:2] for r in results[1]]
    allowed = [[set((r[2] or "").split(", ")) for r in result] for result in results]
    assert allowed[0] == allowed[1]
    return [r[:2] for r in results[0]]


EVERY = [(method, "/") for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH")]


def test_basic_view() -> None:
    """A view answers GET, HEAD and OPTIONS, with the URL's variables as keywords."""

    def make(module: Views) -> type[Any]:
        class Index(module.View):
            def dispatch_request(self, n: int = 0) -> str:
                return f"{module.request.method} {n}"

        return Index

    got = answers(make, *EVERY, ("GET", "/5"))
    assert got[0] == (200, b"GET 0")
    assert got[2][0] == 405
    assert got[-1] == (200, b"GET 5")


def test_method_view() -> None:
    """A method view answers the methods that it has; HEAD goes to `get`."""

    def make(module: Views) -> type[Any]:
        class Api(module.MethodView):
            def get(self, n: int = 0) -> tuple[str, dict[str, str]]:
                return f"get {n}", {"X-From": module.request.method}

            def post(self) -> str:
                return "post"

        return Api

    got = answers(make, *EVERY, ("GET", "/5"))
    assert [status for status, _ in got] == [200, 200, 200, 200, 405, 405, 405, 200]
    assert got[1] == (200, b"")


def test_own_head() -> None:
    """A method view's `head` is preferred to its `get`."""

    def make(module: Views) -> type[Any]:
        class Api(module.MethodView):
            def get(self) -> str:
                return "get"

            def head(self) -> tuple[str, int]:
                return "", 204

        return Api

    assert answers(make, ("HEAD", "/"), ("GET", "/")) == [(204, b""), (200, b"get")]


def test_async_methods() -> None:
    """Async methods are called by way of the application's `ensure_sync`."""

    def make(module: Views) -> type[Any]:
        class Api(module.MethodView):
            async def get(self) -> str:
                return "async get"

        class Index(module.View):
            async def dispatch_request(self) -> str:
                return "async view"

        Api.other = Index
        return Api

    assert answers(make, ("GET", "/")) == [(200, b"async get")]
    assert answers(lambda module: make(module).other, ("GET", "/")) == [(200, b"async view")]


def test_more_methods_than_the_class_has() -> None:
    """A method that the route allows and the class lacks is an assertion that names it."""
    app = Demijohn(__name__)

    class Api(views.MethodView):
        methods = ["GET", "PUT"]

    view = Api.as_view("api")
    for method in ("PUT", "HEAD"):
        with (
            app.test_request_context(method=method),
            pytest.raises(AssertionError, match=f"Unimplemented method '{method}'"),
        ):
            view()


def hierarchies(module: Views) -> dict[str, type[Any]]:
    """Classes whose `methods` come from all the places that they can come from."""

    class Plain(module.View):
        pass

    class Listed(module.View):
        methods = ["GET", "PATCH"]

    class Get(module.MethodView):
        def get(self) -> None: ...

    class Empty(module.MethodView):
        pass

    class Post(Get):
        def post(self) -> None: ...

    class Child(Post):
        pass

    class Fixed(Post):
        methods = {"DELETE"}

    class UnderFixed(Fixed):
        def put(self) -> None: ...

    class Mixin:
        def trace(self) -> None: ...

    class Mixed(Mixin, Get):
        pass

    class Both(Listed, Get):
        pass

    class Nothing(Get):
        methods = None

    class UnderNothing(Nothing):
        pass

    return {name: cls for name, cls in locals().items() if isinstance(cls, type)}


@pytest.mark.parametrize("name", list(hierarchies(flask.views)))
def test_methods_of_hierarchies(name: str) -> None:
    """Inherited, mixed-in, listed and missing methods give the methods that they give in Flask."""
    ours, theirs = (hierarchies(module)[name] for module in (views, flask.views))
    methods = getattr(ours, "methods", None)
    assert methods == getattr(theirs, "methods", None)
    assert type(methods) is type(getattr(theirs, "methods", None))


def test_http_method_names_are_flasks() -> None:
    """The method names that count are Flask's."""
    assert views.http_method_funcs == flask.views.http_method_funcs


@pytest.mark.parametrize("options", [None, True, False])
def test_attributes_of_the_function(options: bool | None) -> None:
    """The function has name, text, module, class, methods and options flag as Flask's has."""

    def make(module: Views) -> Any:
        class Index(module.View):
            """Doc of the class."""

            methods = ["POST"]
            provide_automatic_options = options

            def dispatch_request(self) -> str:
                return ""

        return Index.as_view("named")

    ours, theirs = make(views), make(flask.views)
    for name in ("__name__", "__doc__", "__module__", "methods", "provide_automatic_options"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.view_class.__name__ == "Index"


def test_options_left_to_the_class() -> None:
    """`provide_automatic_options` on the class decides who answers OPTIONS."""

    def make(module: Views) -> type[Any]:
        class Index(module.View):
            methods = ["GET", "OPTIONS"]
            provide_automatic_options = False

            def dispatch_request(self) -> str:
                return "mine"

        return Index

    assert answers(make, ("OPTIONS", "/")) == [(200, b"mine")]


def test_decorators_in_order() -> None:
    """The first decorator is the innermost; each sees the final name and module."""
    seen: list[tuple[str, str, str]] = []

    def mark(letter: str) -> Callable[[Any], Any]:
        def decorator(function: Any) -> Any:
            seen.append((letter, function.__name__, function.__module__))

            @functools.wraps(function)
            def wrapper(**kwargs: Any) -> str:
                return f"{letter}({function(**kwargs)})"

            return wrapper

        return decorator

    def make(module: Views) -> type[Any]:
        class Index(module.View):
            decorators = [mark("a"), mark("b")]

            def dispatch_request(self) -> str:
                return "view"

        return Index

    assert answers(make, ("GET", "/")) == [(200, b"b(a(view))")]
    assert seen == [("a", "the_view", __name__), ("b", "the_view", __name__)] * 2


def test_decorators_may_be_none() -> None:
    """`decorators = None` is taken as none, as in Flask."""

    class Index(views.View):
        decorators = None  # type: ignore[assignment]

    assert Index.as_view("index").__name__ == "index"


def test_plain_function_from_a_decorator_gets_the_attributes() -> None:
    """What a decorator returns gets name and class also if the decorator does not copy them."""

    class Index(views.View):
        decorators = [lambda function: lambda **kwargs: function(**kwargs)]

        def dispatch_request(self) -> str:
            return "view"

    view: Any = Index.as_view("index")
    assert (view.__name__, view.view_class) == ("index", Index)
    with Demijohn(__name__).app_context():
        assert view() == "view"


def test_replaced_view_class() -> None:
    """The class can be replaced on the registered function, under decorators too."""

    class Index(views.View):
        decorators = [lambda function: lambda **kwargs: function(**kwargs)]

        def __init__(self, suffix: str) -> None:
            self.suffix = suffix

        def dispatch_request(self) -> str:
            return "first" + self.suffix

    class Other(Index):
        def dispatch_request(self) -> str:
            return "other" + self.suffix

    view: Any = Index.as_view("index", suffix="!")
    with Demijohn(__name__).app_context():
        assert view() == "first!"
        view.view_class = Other
        assert view() == "other!"


@pytest.mark.parametrize("fresh", [True, False])
def test_instances(fresh: bool) -> None:
    """Each request has an instance of its own, or all share the one that `as_view` makes."""
    made: list[object] = []

    class Index(views.View):
        init_every_request = fresh

        def __init__(self, *args: int, **kwargs: int) -> None:
            self.args = (args, kwargs)
            made.append(self)

        def dispatch_request(self) -> object:
            return self

    view: Any = Index.as_view("index", 1, two=2)
    assert len(made) == (0 if fresh else 1)
    with Demijohn(__name__).app_context():
        first, second = view(), view()
    assert (first is second) is not fresh
    assert len(made) == (2 if fresh else 1)
    assert first.args == ((1,), {"two": 2})


def test_abstract_view() -> None:
    """A view without `dispatch_request` raises `NotImplementedError` when it is called."""
    with Demijohn(__name__).app_context(), pytest.raises(NotImplementedError):
        views.View.as_view("abstract")()  # type: ignore[call-arg]


def test_outside_of_a_context() -> None:
    """Without a current application the error is the proxies' own."""

    class Index(views.View):
        def dispatch_request(self) -> str:
            return "view"

    view: Any = Index.as_view("index")
    with pytest.raises(RuntimeError, match="Working outside of application context"):
        view()
