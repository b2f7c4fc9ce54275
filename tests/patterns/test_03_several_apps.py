"""Pattern 3: several applications in one process, application factories, and the end of setup."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client


def create_app(framework: ModuleType, name: str, **config: Any) -> Any:
    """The factory of documentation: configuration, then blueprints."""
    app = framework.Flask(name)
    app.config.from_mapping(SECRET_KEY="dev", GREETING="hello")
    app.config.update(config)
    app.register_blueprint(make_site(framework))
    app.register_blueprint(make_admin(framework), url_prefix="/admin")
    return app


def make_site(framework: ModuleType) -> Any:
    bp = framework.Blueprint("site", __name__)

    @bp.get("/")
    def index() -> dict[str, str]:
        current_app, request = framework.current_app, framework.request
        return {
            "app": current_app.name,
            "greeting": current_app.config["GREETING"],
            "root": request.script_root,
            "path": request.path,
            "users": framework.url_for("admin.users"),
        }

    @bp.get("/count")
    def count() -> str:
        framework.session["n"] = framework.session.get("n", 0) + 1
        return str(framework.session["n"])

    return bp


def make_admin(framework: ModuleType) -> Any:
    bp = framework.Blueprint("admin", __name__)

    @bp.before_request
    def mark() -> None:
        framework.g.admin = True

    @bp.get("/users")
    def users() -> str:
        return f"{framework.request.blueprint} {framework.g.admin}"

    return bp


def test_dispatcher_mounts_several_apps(framework: ModuleType) -> None:
    """Behind `DispatcherMiddleware` each application answers under its prefix as configured."""
    front = create_app(framework, "front")
    back = create_app(framework, "back", GREETING="good day")
    client = Client(DispatcherMiddleware(front, {"/back": back}))

    assert client.get("/").get_json() == {
        "app": "front",
        "greeting": "hello",
        "root": "",
        "path": "/",
        "users": "/admin/users",
    }
    assert client.get("/back/").get_json() == {
        "app": "back",
        "greeting": "good day",
        "root": "/back",
        "path": "/",
        "users": "/back/admin/users",
    }
    assert client.get("/back/admin/users").text == "admin True"
    assert client.get("/elsewhere").status_code == 404
    assert not framework.has_app_context()


def test_mounted_apps_keep_their_sessions_apart(framework: ModuleType) -> None:
    """Mounted applications with their own cookie paths count each on its own."""
    front = create_app(framework, "front")
    back = create_app(framework, "back", APPLICATION_ROOT="/back", SESSION_COOKIE_NAME="back")
    client = Client(DispatcherMiddleware(front, {"/back": back}))
    counts = [client.get(path).text for path in ("/count", "/back/count", "/count", "/back/count")]
    assert counts == ["1", "1", "2", "2"]
    assert client.get_cookie("session", path="/") is not None
    assert client.get_cookie("back", path="/back") is not None


def test_same_application_mounted_twice(framework: ModuleType) -> None:
    """One application under two prefixes builds its URLs for the prefix of the request."""
    app = create_app(framework, "front")
    client = Client(DispatcherMiddleware(app, {"/a": app, "/b": app}))
    roots = [client.get(path).get_json()["users"] for path in ("/", "/a/", "/b/")]
    assert roots == ["/admin/users", "/a/admin/users", "/b/admin/users"]


def test_an_app_that_calls_another_gets_its_context_back(framework: ModuleType) -> None:
    """A view that calls another application in the same process is itself again after the call."""
    back = create_app(framework, "back")
    front = framework.Flask("front")

    @front.get("/through")
    def through() -> dict[str, Any]:
        framework.g.user = "ada"
        inner = back.test_client().get("/").get_json()
        return {
            "inner": inner["app"],
            "outer": framework.current_app.name,
            "path": framework.request.path,
            "user": framework.g.user,
        }

    answer = front.test_client().get("/through").get_json()
    assert answer == {"inner": "back", "outer": "front", "path": "/through", "user": "ada"}


def test_factory_makes_independent_apps(framework: ModuleType) -> None:
    """Two applications of one factory share neither configuration, nor views, nor hooks."""
    first = create_app(framework, "first", TESTING=True)
    second = create_app(framework, "second")
    assert first.testing and not second.testing

    @first.get("/only-here")
    def only_here() -> str:
        return "here"

    @first.before_request
    def mark() -> None:
        framework.g.marked = True

    @second.get("/marked")
    def marked() -> str:
        return str("marked" in framework.g)

    assert first.test_client().get("/only-here").text == "here"
    assert second.test_client().get("/only-here").status_code == 404
    assert second.test_client().get("/marked").text == "False"


@pytest.fixture
def app(framework: ModuleType) -> Any:
    """As in a user's conftest: a new application for each test."""
    return create_app(framework, "shop", TESTING=True)


@pytest.mark.parametrize("order", [1, 2])
def test_a_view_added_in_one_test_does_not_reach_another(app: Any, order: int) -> None:
    """Whichever of the two runs comes first, neither finds the other's view."""
    client_of_other = app.test_client()

    @app.get(f"/added/{order}")
    def added() -> str:
        return "added"

    assert client_of_other.get(f"/added/{order}").text == "added"
    assert client_of_other.get(f"/added/{3 - order}").status_code == 404


SETUP = {
    "route": lambda app, bp: app.route("/late"),
    "add_url_rule": lambda app, bp: app.add_url_rule("/late", "late", view_func=lambda: ""),
    "before_request": lambda app, bp: app.before_request(lambda: None),
    "after_request": lambda app, bp: app.after_request(lambda response: response),
    "teardown_appcontext": lambda app, bp: app.teardown_appcontext(lambda exc: None),
    "errorhandler": lambda app, bp: app.errorhandler(404)(lambda error: ""),
    "register_blueprint": lambda app, bp: app.register_blueprint(bp),
    "context_processor": lambda app, bp: app.context_processor(dict),
    "template_filter": lambda app, bp: app.add_template_filter(str.upper, "shout"),
}


@pytest.mark.parametrize("method", SETUP)
def test_setup_after_the_first_request_is_refused(
    framework: ModuleType, app: Any, method: str
) -> None:
    """Each setup method raises Flask's error once a request was handled, and changes nothing."""
    bp = framework.Blueprint("late", __name__)
    rules = len(list(app.url_map.iter_rules()))
    app.test_client().get("/")
    with pytest.raises(AssertionError) as caught:
        SETUP[method](app, bp)(lambda: "")
    name = "add_template_filter" if method == "template_filter" else method
    assert f"The setup method '{name}' can no longer be called" in str(caught.value)
    assert "late" not in app.blueprints
    assert len(list(app.url_map.iter_rules())) == rules


def test_setup_in_a_view_is_refused(framework: ModuleType) -> None:
    """A view that registers another view gets the same error already in the first request."""
    app = framework.Flask("shop")

    @app.get("/")
    def index() -> str:
        app.add_url_rule("/late", view_func=lambda: "")
        return ""

    app.testing = True
    with pytest.raises(AssertionError, match="can no longer be called"):
        app.test_client().get("/")


def test_a_pushed_context_does_not_end_setup(framework: ModuleType) -> None:
    """Contexts in scripts and tests are no requests: registration stays open."""
    app = framework.Flask("shop")
    with app.app_context(), app.test_request_context("/"):
        app.add_url_rule("/late", view_func=lambda: "late", endpoint="late")
    assert app.test_client().get("/late").text == "late"


def test_a_registered_blueprint_is_closed(framework: ModuleType) -> None:
    """A blueprint that was registered once refuses further setup, as in Flask."""
    bp = framework.Blueprint("site", __name__)
    framework.Flask("shop").register_blueprint(bp)
    with pytest.raises(AssertionError, match="has already been registered"):
        bp.add_url_rule("/late", view_func=lambda: "")
