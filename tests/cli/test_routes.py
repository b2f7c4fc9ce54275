"""`demijohn routes`: its table is Flask's, character by character."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import flask.cli
import pytest
from click.testing import CliRunner

from demijohn import Demijohn
from demijohn.cli.groups import FlaskGroup


def plain(app: Any) -> None:
    app.add_url_rule("/get_post/<int:x>/<int:y>", methods=["GET", "POST"], endpoint="yyy_get_post")
    app.add_url_rule("/zzz_post", methods=["POST"], endpoint="aaa_post")
    app.add_url_rule("/", endpoint="üni")
    app.add_url_rule("/a", endpoint="same")
    app.add_url_rule("/<path:rest>", endpoint="same")


def subdomains(app: Any) -> None:
    app.add_url_rule("/a", subdomain="a", endpoint="a")
    app.add_url_rule("/b", subdomain="b", endpoint="b")
    app.add_url_rule("/c", endpoint="c")


def hosts(app: Any) -> None:
    app.add_url_rule("/a", host="a.example", endpoint="a")
    app.add_url_rule("/b", host="long.b.example", endpoint="b")


APPS: dict[str, tuple[Callable[[Any], None], dict[str, Any]]] = {
    "plain": (plain, {}),
    "subdomains": (subdomains, {"subdomain_matching": True}),
    "hosts": (hosts, {"host_matching": True, "static_host": "static.example"}),
    "default": (lambda app: None, {}),
    "nothing": (lambda app: None, {"static_folder": None}),
}


@pytest.mark.parametrize("options", [[], ["--all-methods"]], ids=["", "all"])
@pytest.mark.parametrize("sort", ["endpoint", "methods", "domain", "rule", "match", None])
@pytest.mark.parametrize(("fill", "settings"), APPS.values(), ids=APPS.keys())
def test_table_is_flasks(
    fill: Callable[[Any], None],
    settings: dict[str, Any],
    sort: str | None,
    options: list[str],
    runner: CliRunner,
) -> None:
    """For every app, order and choice of methods the output is that of `flask routes`."""
    args = ["routes", *(["--sort", sort] if sort else []), *options]
    outputs = []
    for app_class, group_class in ((Demijohn, FlaskGroup), (flask.Flask, flask.cli.FlaskGroup)):
        app = app_class("site", **settings)
        fill(app)
        result = runner.invoke(group_class(create_app=lambda app=app: app), args)
        assert result.exit_code == 0, result.output
        outputs.append(result.output)
    assert outputs[0] == outputs[1]


def test_unknown_order_is_refused(runner: CliRunner) -> None:
    """An order that the table does not have is a usage error."""
    app = Demijohn("site")
    result = runner.invoke(FlaskGroup(create_app=lambda: app), ["routes", "-s", "size"])
    assert result.exit_code == 2
    assert "'size'" in result.output
