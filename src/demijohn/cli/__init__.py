"""The `demijohn` command: finding the application and running its commands.

The names of Flask's module `flask.cli` are here; what each file holds is said at its top.
"""

from __future__ import annotations

from demijohn.cli.commands import routes_command, run_command, shell_command
from demijohn.cli.discover import (
    NoAppException,
    ScriptInfo,
    find_app_by_string,
    find_best_app,
    locate_app,
    pass_script_info,
    prepare_import,
    with_appcontext,
)
from demijohn.cli.env import load_dotenv
from demijohn.cli.groups import AppGroup, FlaskGroup, cli, main
from demijohn.cli.params import CertParamType, SeparatedPathType, get_version, version_option
from demijohn.cli.serve_command import serve_command
from demijohn.serve.dev import show_server_banner

__all__ = [
    "AppGroup",
    "CertParamType",
    "FlaskGroup",
    "NoAppException",
    "ScriptInfo",
    "SeparatedPathType",
    "cli",
    "find_app_by_string",
    "find_best_app",
    "get_version",
    "load_dotenv",
    "locate_app",
    "main",
    "pass_script_info",
    "prepare_import",
    "routes_command",
    "run_command",
    "serve_command",
    "shell_command",
    "show_server_banner",
    "version_option",
    "with_appcontext",
]
