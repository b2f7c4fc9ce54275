"""Pattern 5: a token checked in `before_request`, the user kept on `g` and read in the view."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

import demijohn
from demijohn import Demijohn, g

TOKENS = {"secret-a": "ada", "secret-b": "bob"}


def make_app(framework: ModuleType) -> Any:
    abort, g, request = framework.abort, framework.g, framework.request
    app = framework.Flask("api")

    @app.before_request
    def load_user() -> None:
        if request.endpoint == "health":
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in TOKENS:
            abort(401)
        g.user = TOKENS[token]

    @app.after_request
    def say_user(response: Any) -> Any:
        response.headers["X-User"] = g.get("user", "nobody")
        return response

    @app.get("/me")
    def me() -> dict[str, str]:
        return {"user": g.user}

    @app.get("/health")
    def health() -> str:
        return "ok" if "user" not in g else "somebody"

    @app.errorhandler(401)
    def refused(error: Any) -> tuple[dict[str, str], int]:
        return {"error": "token"}, 401

    return app


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_user_of_the_token_reaches_the_view(framework: ModuleType) -> None:
    """The view reads from `g` the user whose token the hook checked."""
    client = make_app(framework).test_client()
    for token, user in TOKENS.items():
        response = client.get("/me", headers=bearer(token))
        assert response.get_json() == {"user": user}
        assert response.headers["X-User"] == user


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), {"Authorization": "Basic secret-a"}])
def test_without_a_good_token_the_view_is_not_reached(
    framework: ModuleType, headers: dict[str, str]
) -> None:
    """A missing or wrong token is answered 401 by the handler, and nobody is on `g`."""
    response = make_app(framework).test_client().get("/me", headers=headers)
    assert response.status_code == 401
    assert response.get_json() == {"error": "token"}
    assert response.headers["X-User"] == "nobody"


def test_user_does_not_stay_for_the_next_request(framework: ModuleType) -> None:
    """A request without a token after one with a token finds no user on `g`."""
    client = make_app(framework).test_client()
    assert client.get("/me", headers=bearer("secret-a")).status_code == 200
    assert client.get("/health").text == "ok"
    assert client.get("/me").status_code == 401


def test_blueprint_hook_guards_its_views_alone(framework: ModuleType) -> None:
    """The check as a blueprint's `before_request` does not touch the application's other views."""
    abort, g, request = framework.abort, framework.g, framework.request
    app = framework.Flask("api")
    bp = framework.Blueprint("private", __name__, url_prefix="/private")

    @bp.before_request
    def load_user() -> None:
        g.user = TOKENS.get(request.args.get("token", "")) or abort(403)

    @bp.get("/")
    def private() -> str:
        return str(g.user)

    @app.get("/public")
    def public() -> str:
        return str(g.get("user"))

    app.register_blueprint(bp)
    client = app.test_client()
    assert client.get("/public").text == "None"
    assert client.get("/private/").status_code == 403
    assert client.get("/private/?token=secret-b").text == "bob"
    assert client.get("/public?token=secret-b").text == "None"


def test_g_as_a_namespace(framework: ModuleType) -> None:
    """`g` can be set, read, asked, popped, defaulted, deleted from and listed as in Flask."""
    g = framework.g
    with framework.Flask("api").app_context():
        with pytest.raises(AttributeError):
            str(g.user)
        g.user = "ada"
        assert g.user == "ada"
        assert "user" in g
        assert g.get("user") == "ada"
        assert g.get("tenant") is None
        assert g.get("tenant", "none") == "none"
        assert g.setdefault("tenant", 1) == 1
        assert g.setdefault("tenant", 2) == 1
        assert sorted(g) == ["tenant", "user"]
        assert g.pop("tenant") == 1
        assert g.pop("tenant", None) is None
        with pytest.raises(KeyError):
            g.pop("tenant")
        del g.user
        assert "user" not in g
        with pytest.raises(AttributeError):
            del g.user
        assert repr(g._get_current_object()) == "<flask.g of 'api'>"


def test_g_by_key() -> None:
    """`g["user"]` and `g.user` are the same value, both ways; a missing key is a `KeyError`.

    In Flask `g[...]` is a `TypeError`.
    """
    with Demijohn("api").app_context():
        g["user"] = "ada"
        assert g.user == "ada"
        g.tenant = 7
        assert g["tenant"] == 7
        assert len(g) == 2
        del g["tenant"]
        assert "tenant" not in g
        with pytest.raises(KeyError):
            g["tenant"]
        with pytest.raises(KeyError):
            del g["tenant"]


def test_token_by_key_in_a_request() -> None:
    """The pattern works with `g["user"]`, as blogs write it; Flask raises `TypeError`."""
    app = Demijohn("api")

    @app.before_request
    def load_user() -> None:
        g["user"] = TOKENS[demijohn.request.args["token"]]

    @app.get("/me")
    def me() -> str:
        return str(g["user"])

    assert app.test_client().get("/me?token=secret-a").text == "ada"
