"""One object of each public class, made by either framework, to compare what it carries."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from werkzeug.routing import RequestRedirect

#: Gives a module of the framework at hand: `at("app")` is `flask.app` or `demijohn.app`.
At = Callable[[str], Any]


def modules_of(package: str) -> At:
    return lambda path: importlib.import_module(f"{package}.{path}" if path else package)


def _app(at: At) -> Any:
    return at("").Flask("site", root_path="/site", instance_path="/site/instance")


def _blueprint(at: At) -> Any:
    return at("").Blueprint("b", "site", root_path="/site")


def _request_context(at: At) -> Any:
    return _app(at).test_request_context("/", method="POST")


def _redirected(at: At) -> Any:
    request = _request_context(at).request
    request.routing_exception = RequestRedirect("http://localhost/there")
    return at("debughelpers").FormDataRoutingRedirect(request)


def _from(module: str, name: str, *args: Any) -> Callable[[At], Any]:
    """A sample that is made by a call of the class with plain arguments."""
    return lambda at: getattr(at(module), name)(*args)


_TAGS = ("PassDict", "PassList", "TagBytes", "TagDateTime", "TagDict", "TagMarkup", "TagTuple",
         "TagUUID", "JSONTag")  # fmt: skip

#: By the class's name in Flask.
SAMPLES: dict[str, Callable[[At], Any]] = {
    "flask.app.Flask": _app,
    "flask.blueprints.Blueprint": _blueprint,
    "flask.cli.AppGroup": _from("cli", "AppGroup"),
    "flask.cli.CertParamType": _from("cli", "CertParamType"),
    "flask.cli.FlaskGroup": _from("cli", "FlaskGroup"),
    "flask.cli.NoAppException": _from("cli", "NoAppException", "none"),
    "flask.cli.ScriptInfo": _from("cli", "ScriptInfo"),
    "flask.cli.SeparatedPathType": _from("cli", "SeparatedPathType"),
    "flask.config.Config": _from("config", "Config", "/site"),
    "flask.config.ConfigAttribute": _from("config", "ConfigAttribute", "KEY"),
    "flask.ctx.AppContext": lambda at: _app(at).app_context(),
    "flask.ctx.RequestContext": _request_context,
    "flask.ctx._AppCtxGlobals": _from("ctx", "_AppCtxGlobals"),
    "flask.debughelpers.DebugFilesKeyError": lambda at: at("debughelpers").DebugFilesKeyError(
        _request_context(at).request, "upload"
    ),
    "flask.debughelpers.FormDataRoutingRedirect": _redirected,
    "flask.debughelpers.UnexpectedUnicodeError": _from("debughelpers", "UnexpectedUnicodeError"),
    "flask.json.provider.DefaultJSONProvider": lambda at: _app(at).json,
    "flask.json.provider.JSONProvider": lambda at: at("json.provider").JSONProvider(_app(at)),
    "flask.json.tag.TaggedJSONSerializer": _from("json.tag", "TaggedJSONSerializer"),
    **{f"flask.json.tag.{name}": _from("json.tag", name, None) for name in _TAGS},
    "flask.sansio.blueprints.BlueprintSetupState": lambda at: _blueprint(at).make_setup_state(
        _app(at), {}, first_registration=True
    ),
    "flask.sessions.NullSession": _from("sessions", "NullSession"),
    "flask.sessions.SecureCookieSession": _from("sessions", "SecureCookieSession"),
    "flask.sessions.SecureCookieSessionInterface": lambda at: _app(at).session_interface,
    "flask.sessions.SessionInterface": _from("sessions", "SessionInterface"),
    "flask.templating.DispatchingJinjaLoader": lambda at: at("templating").DispatchingJinjaLoader(
        _app(at)
    ),
    "flask.templating.Environment": lambda at: _app(at).jinja_env,
    "flask.testing.EnvironBuilder": lambda at: at("testing").EnvironBuilder(_app(at)),
    "flask.testing.FlaskClient": lambda at: _app(at).test_client(),
    "flask.testing.FlaskCliRunner": lambda at: _app(at).test_cli_runner(),
    "flask.views.MethodView": _from("views", "MethodView"),
    "flask.views.View": _from("views", "View"),
    "flask.wrappers.Request": lambda at: _request_context(at).request,
    "flask.wrappers.Response": _from("wrappers", "Response", "text"),
}

#: Classes that are bases only; what their objects carry is compared on the classes above.
BASES = {
    "flask.sansio.app.App",
    "flask.sansio.blueprints.Blueprint",
    "flask.sansio.scaffold.Scaffold",
    "flask.sessions.SessionMixin",
}
