"""Which of this package's modules stand for which of Flask's, and where Flask defines what.

Compared with Flask itself by the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MODULES: Final = (
    "app",
    "blueprints",
    "cli",
    "config",
    "ctx",
    "debughelpers",
    "globals",
    "helpers",
    "json",
    "json.provider",
    "json.tag",
    "logging",
    "sansio",
    "sansio.app",
    "sansio.blueprints",
    "sansio.scaffold",
    "sessions",
    "signals",
    "templating",
    "testing",
    "typing",
    "views",
    "wrappers",
)
"""Flask's submodules; each is here under the same name."""

PACKAGES: Final = frozenset({"json", "sansio"})
"""Those of MODULES that are packages in Flask."""

HOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "app": ("Flask",),
    "blueprints": ("Blueprint",),
    "cli": (
        "AppGroup",
        "CertParamType",
        "FlaskGroup",
        "NoAppException",
        "ScriptInfo",
        "SeparatedPathType",
        "find_app_by_string",
        "find_best_app",
        "get_version",
        "load_dotenv",
        "locate_app",
        "main",
        "prepare_import",
        "show_server_banner",
        "with_appcontext",
    ),
    "config": ("Config", "ConfigAttribute"),
    "ctx": (
        "AppContext",
        "RequestContext",
        "_AppCtxGlobals",
        "after_this_request",
        "copy_current_request_context",
        "has_app_context",
        "has_request_context",
    ),
    "debughelpers": (
        "DebugFilesKeyError",
        "FormDataRoutingRedirect",
        "UnexpectedUnicodeError",
        "attach_enctype_error_multidict",
        "explain_template_loading_attempts",
    ),
    "helpers": (
        "abort",
        "flash",
        "get_debug_flag",
        "get_flashed_messages",
        "get_load_dotenv",
        "get_root_path",
        "get_template_attribute",
        "make_response",
        "redirect",
        "send_file",
        "send_from_directory",
        "stream_with_context",
        "url_for",
    ),
    "json": ("dump", "dumps", "jsonify", "load", "loads"),
    "json.provider": ("DefaultJSONProvider", "JSONProvider"),
    "json.tag": (
        "JSONTag",
        "PassDict",
        "PassList",
        "TagBytes",
        "TagDateTime",
        "TagDict",
        "TagMarkup",
        "TagTuple",
        "TagUUID",
        "TaggedJSONSerializer",
    ),
    "logging": ("create_logger", "has_level_handler"),
    "sansio.app": ("App",),
    "sansio.blueprints": ("Blueprint", "BlueprintSetupState"),
    "sansio.scaffold": ("Scaffold", "find_package", "setupmethod"),
    "sessions": (
        "NullSession",
        "SecureCookieSession",
        "SecureCookieSessionInterface",
        "SessionInterface",
        "SessionMixin",
    ),
    "templating": (
        "DispatchingJinjaLoader",
        "Environment",
        "render_template",
        "render_template_string",
        "stream_template",
        "stream_template_string",
    ),
    "testing": ("EnvironBuilder", "FlaskCliRunner", "FlaskClient"),
    "views": ("MethodView", "View"),
    "wrappers": ("Request", "Response"),
}
"""The classes and functions of Flask that a pickle may name, by the module that defines them."""

BORROWED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "app": {
        "click": ("",),
        "werkzeug.datastructures": ("Headers", "ImmutableDict"),
        "werkzeug.exceptions": ("BadRequestKeyError", "HTTPException", "InternalServerError"),
        "werkzeug.routing": (
            "BuildError",
            "MapAdapter",
            "RequestRedirect",
            "RoutingException",
            "Rule",
        ),
        "werkzeug.serving": ("is_running_from_reloader",),
        "werkzeug.wsgi": ("get_host",),
    },
    "cli": {
        "click": ("",),
        "click.core": ("ParameterSource",),
        "werkzeug.serving": ("is_running_from_reloader", "run_simple"),
        "werkzeug.utils": ("import_string",),
    },
    "config": {"werkzeug.utils": ("import_string",)},
    "ctx": {"werkzeug.exceptions": ("HTTPException",)},
    "debughelpers": {"jinja2": ("BaseLoader",), "werkzeug.routing": ("RequestRedirect",)},
    "globals": {"werkzeug.local": ("LocalProxy",)},
    "helpers": {"werkzeug": ("",)},
    "json.provider": {"werkzeug.http": ("http_date",)},
    "json.tag": {"markupsafe": ("Markup",), "werkzeug.http": ("http_date", "parse_date")},
    "logging": {"werkzeug.local": ("LocalProxy",)},
    "sansio.app": {
        "werkzeug.exceptions": ("Aborter", "BadRequest", "BadRequestKeyError"),
        "werkzeug.routing": ("BuildError", "Map", "Rule"),
        "werkzeug.sansio.response": ("Response",),
        "werkzeug.utils": ("cached_property",),
    },
    "sansio.scaffold": {
        "jinja2": ("BaseLoader", "FileSystemLoader"),
        "werkzeug.exceptions": ("HTTPException", "default_exceptions"),
        "werkzeug.utils": ("cached_property",),
    },
    "sessions": {
        "itsdangerous": ("BadSignature", "URLSafeTimedSerializer"),
        "werkzeug.datastructures": ("CallbackDict",),
    },
    "signals": {"blinker": ("Namespace",)},
    "templating": {"jinja2": ("BaseLoader", "Template", "TemplateNotFound")},
    "testing": {
        "click.testing": ("CliRunner", "Result"),
        "werkzeug": ("",),
        "werkzeug.test": ("Client",),
    },
    "wrappers": {"werkzeug.exceptions": ("BadRequest", "HTTPException")},
}
"""Names of other libraries that Flask's modules hold as they use them, by module and home.

Extensions import some of them from there (`from flask.signals import Namespace`). The empty name
stands for the library's module itself.
"""
