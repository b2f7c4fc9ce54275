"""Changes for `test_live`: what setup fills (hooks, views, handlers), rules, and settings.

Not a test file. Each function is one change, and is entered in `live_app.CHANGES`.
"""

from __future__ import annotations

import json
from typing import Any

from live_app import CHANGES, Side, change
from werkzeug.exceptions import Aborter, HTTPException
from werkzeug.routing import Rule

# -- containers that setup fills ------------------------------------------------------------------


@change("before hook added to an empty dict")
def _(side: Side) -> None:
    side.app.before_request_funcs.setdefault(None, []).append(lambda: side.note("before"))


@change("before hook that answers")
def _(side: Side) -> None:
    side.app.before_request_funcs[None] = [lambda: "answered by the hook"]


@change("blueprint's before hooks emptied")
def _(side: Side) -> None:
    side.app.before_request_funcs["bp"].clear()


@change("blueprint's before hook put in front")
def _(side: Side) -> None:
    side.app.before_request_funcs["bp"].insert(0, lambda: side.note("first"))


@change("dict of before hooks replaced")
def _(side: Side) -> None:
    side.app.before_request_funcs = {None: [lambda: side.note("new dict")]}


@change("async before hook")
def _(side: Side) -> None:
    async def before() -> None:
        side.note("async before")

    side.app.before_request_funcs[None] = [before]


@change("after hook of the app")
def _(side: Side) -> None:
    def after(response: Any) -> Any:
        response.headers["X-After"] = str(response.status_code)
        return response

    side.app.after_request_funcs.setdefault(None, []).append(after)


@change("after hook of the blueprint")
def _(side: Side) -> None:
    def after(response: Any) -> Any:
        response.set_data(response.get_data() + b"!")
        return response

    side.app.after_request_funcs["bp"] = [after]


@change("after hook that gives another response")
def _(side: Side) -> None:
    other = side.app.response_class
    side.app.after_request_funcs[None] = [lambda response: other("other", 202)]


@change("teardown_request function")
def _(side: Side) -> None:
    side.app.teardown_request_funcs[None] = [lambda exc: side.note(f"teardown {exc!r}")]


@change("blueprint's teardown_request function")
def _(side: Side) -> None:
    side.app.teardown_request_funcs["bp"] = [lambda exc: side.note(f"teardown {exc!r}")]


@change("teardown_appcontext function")
def _(side: Side) -> None:
    side.app.teardown_appcontext_funcs.append(lambda exc: side.note(f"teardown {exc!r}"))


@change("url value preprocessor")
def _(side: Side) -> None:
    def preprocess(endpoint: str | None, values: dict[str, Any] | None) -> None:
        side.note(f"{endpoint} {values}")
        if values and "n" in values:
            values["n"] += 1

    side.app.url_value_preprocessors[None] = [preprocess]


@change("url defaults")
def _(side: Side) -> None:
    side.app.url_default_functions[None] = [lambda endpoint, values: values.setdefault("lang", 1)]


@change("url build error handler")
def _(side: Side) -> None:
    side.app.url_build_error_handlers.append(lambda error, endpoint, values: "/built")


@change("context processor")
def _(side: Side) -> None:
    side.app.template_context_processors[None].append(lambda: {"extra": "processed"})


@change("template global")
def _(side: Side) -> None:
    side.app.jinja_env.globals["extra"] = "global"


@change("view replaced")
def _(side: Side) -> None:
    side.app.view_functions["hello"] = lambda: {"replaced": True}


@change("view replaced by an async one")
def _(side: Side) -> None:
    async def hello() -> str:
        return "async"

    side.app.view_functions["hello"] = hello


@change("view deleted")
def _(side: Side) -> None:
    del side.app.view_functions["hello"]


@change("blueprint's view replaced")
def _(side: Side) -> None:
    side.app.view_functions["bp.item"] = lambda n: ("new", 201, {"X-Item": n})


@change("dict of views replaced")
def _(side: Side) -> None:
    views = dict.fromkeys(side.app.view_functions, lambda **values: str(values))
    side.app.view_functions = views


@change("error handler for a code")
def _(side: Side) -> None:
    def gone(error: HTTPException) -> tuple[str, int]:
        return f"handled {error.code}", 410

    side.app.error_handler_spec[None][403] = {type(error_of(403)): gone}


@change("error handler for an exception")
def _(side: Side) -> None:
    spec = side.app.error_handler_spec[None][None]
    spec[ArithmeticError] = lambda error: {"error": str(error)}


@change("error handler for 500")
def _(side: Side) -> None:
    def broken(error: Any) -> tuple[str, int]:
        return f"sorry: {error.original_exception!r}", 500

    side.app.error_handler_spec[None][500] = {type(error_of(500)): broken}


def error_of(code: int) -> HTTPException:
    try:
        Aborter()(code)
    except HTTPException as error:
        return error
    raise AssertionError


# -- rules ----------------------------------------------------------------------------------------


@change("rule added to the map")
def _(side: Side) -> None:
    side.app.url_map.add(Rule("/late", endpoint="hello"))


@change("rule with a variable added to the map")
def _(side: Side) -> None:
    side.app.url_map.add(Rule("/late/<int:n>", endpoint="bp.item", methods=["GET"]))


@change("rule that wins over another")
def _(side: Side) -> None:
    side.app.url_map.add(Rule("/bp/item/5", endpoint="hello"))


@change("method added to a rule")
def _(side: Side) -> None:
    methods = side.rule("hello").methods
    assert methods is not None
    methods.add("PUT")


@change("method taken from a rule")
def _(side: Side) -> None:
    methods = side.rule("folder").methods
    assert methods is not None
    methods.clear()
    methods.add("POST")


@change("rule without automatic OPTIONS")
def _(side: Side) -> None:
    side.rule("hello").provide_automatic_options = False


@change("strict_slashes of the map")
def _(side: Side) -> None:
    side.app.url_map.strict_slashes = False
    side.app.url_map.add(Rule("/late/", endpoint="hello"))


@change("merge_slashes of the map")
def _(side: Side) -> None:
    side.app.url_map.merge_slashes = False


@change("another map")
def _(side: Side) -> None:
    side.app.url_map = type(side.app.url_map)([Rule("/late", endpoint="hello")])


@change("subdomain matching")
def _(side: Side) -> None:
    side.app.config["SERVER_NAME"] = "localhost"
    side.app.subdomain_matching = True


@change("rule's endpoint")
def _(side: Side) -> None:
    side.rule("folder").endpoint = "bp.item"


# -- settings -------------------------------------------------------------------------------------

SETTINGS: dict[str, dict[str, Any]] = {
    "TRUSTED_HOSTS": {"TRUSTED_HOSTS": ["localhost", ".good.example"]},
    "SESSION_COOKIE_NAME": {"SESSION_COOKIE_NAME": "other"},
    "SESSION_COOKIE_SECURE and the like": {
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": False,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "SESSION_COOKIE_PATH": "/",
        "SESSION_COOKIE_DOMAIN": "localhost",
    },
    "SESSION_REFRESH_EACH_REQUEST": {"SESSION_REFRESH_EACH_REQUEST": False},
    "SECRET_KEY taken away": {"SECRET_KEY": None},
    "PROPAGATE_EXCEPTIONS": {"PROPAGATE_EXCEPTIONS": True},
    "TESTING": {"TESTING": True},
    "DEBUG": {"DEBUG": True},
    "TRAP_HTTP_EXCEPTIONS": {"TRAP_HTTP_EXCEPTIONS": True},
    "TRAP_BAD_REQUEST_ERRORS": {"TRAP_BAD_REQUEST_ERRORS": True},
    "MAX_CONTENT_LENGTH": {"MAX_CONTENT_LENGTH": 1000},
    "PREFERRED_URL_SCHEME and SERVER_NAME": {
        "SERVER_NAME": "shop.example",
        "PREFERRED_URL_SCHEME": "https",
    },
    "SEND_FILE_MAX_AGE_DEFAULT": {"SEND_FILE_MAX_AGE_DEFAULT": 60},
}
for _name, _values in SETTINGS.items():
    CHANGES[f"config {_name}"] = lambda side, _values=_values: side.app.config.update(_values)


@change("JSON keys not sorted")
def _(side: Side) -> None:
    side.app.json.sort_keys = False


@change("JSON compact")
def _(side: Side) -> None:
    side.app.json.compact = False


@change("JSON with other characters as they are")
def _(side: Side) -> None:
    side.app.json.ensure_ascii = False


@change("JSON with another media type")
def _(side: Side) -> None:
    side.app.json.mimetype = "application/vnd.live+json"


@change("JSON provider replaced")
def _(side: Side) -> None:
    class Provider(side.framework.json.provider.JSONProvider):  # type: ignore[name-defined,misc]
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return json.dumps({"dumped": obj})

        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            loaded = json.loads(s)
            return loaded.get("dumped", ["loaded", loaded])

    side.app.json = Provider(side.app)


@change("JSON provider's dumps set on the instance")
def _(side: Side) -> None:
    side.app.json.dumps = lambda obj, **kwargs: json.dumps(obj, indent=3)


@change("JSON provider's default")
def _(side: Side) -> None:
    side.app.json.default = lambda obj: type(obj).__name__
    side.app.view_functions["hello"] = lambda: {"who": object()}
