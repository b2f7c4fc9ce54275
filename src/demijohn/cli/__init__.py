"""The `demijohn` command: finding the application and running its commands.

The names of Flask's module `flask.cli` are here; what each file holds is said at its top.
"""

from __future__ import annotations

from demijohn.cli.commands import routes_command, run_command, shell_command
from demijohn.cli.discover import (
    F,
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
from demijohn.cli.params import (
    CertParamType,
    SeparatedPathType,
    app_option,
    debug_option,
    env_file_option,
    get_version,
    version_option,
)
from demijohn.cli.serve_command import serve_command
from demijohn.framework.config import get_debug_flag, get_load_dotenv
from demijohn.framework.globals import current_app
from demijohn.serve.dev import show_server_banner

# Flask's names for them.
_app_option, _debug_option, _env_file_option = app_option, debug_option, env_file_option

__all__ = [
    "AppGroup",
    "CertParamType",
    "F",
    "FlaskGroup",
    "NoAppException",
    "ScriptInfo",
    "SeparatedPathType",
    "cli",
    "current_app",
    "find_app_by_string",
    "find_best_app",
    "get_debug_flag",
    "get_load_dotenv",
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
