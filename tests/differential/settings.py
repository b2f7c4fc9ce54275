"""Settings of an application, and subclasses of what it is made of, as source."""

from __future__ import annotations

_STEPS = (
    "full_dispatch_request",
    "preprocess_request",
    "dispatch_request",
    "make_response",
    "process_response",
    "finalize_request",
    "handle_user_exception",
    "do_teardown_request",
    "do_teardown_appcontext",
)
_ON_INSTANCE = """
stock = app.{step}
app.{step} = lambda *args, **options: (log("{step}"), stock(*args, **options))[1]
"""

SETTINGS: dict[str, tuple[str, ...]] = {
    "config: TESTING": ("app.testing = True", "app.config['TESTING'] = True"),
    "config: DEBUG": ("app.debug = True",),
    "config: PROPAGATE_EXCEPTIONS": (
        "app.config['PROPAGATE_EXCEPTIONS'] = True",
        "app.config['PROPAGATE_EXCEPTIONS'] = False",
    ),
    "config: TRAP_HTTP_EXCEPTIONS": ("app.config['TRAP_HTTP_EXCEPTIONS'] = True",),
    "config: TRAP_BAD_REQUEST_ERRORS": (
        "app.config['TRAP_BAD_REQUEST_ERRORS'] = True",
        "app.config['TRAP_BAD_REQUEST_ERRORS'] = False",
    ),
    "config: APPLICATION_ROOT": ("app.config['APPLICATION_ROOT'] = '/root'",),
    "config: PREFERRED_URL_SCHEME": ("app.config['PREFERRED_URL_SCHEME'] = 'https'",),
    "config: SERVER_NAME": (
        "app.config['SERVER_NAME'] = 'localhost'",
        "app.config['SERVER_NAME'] = 'elsewhere.org:8000'",
    ),
    "config: MAX_CONTENT_LENGTH": (
        "app.config['MAX_CONTENT_LENGTH'] = 10",
        "app.config.update(MAX_CONTENT_LENGTH=200, MAX_FORM_PARTS=1)",
    ),
    "config: TRUSTED_HOSTS": (
        "app.config['TRUSTED_HOSTS'] = ['localhost', '.example.org']",
        "app.config['TRUSTED_HOSTS'] = ['nowhere.org']",
    ),
    "config: JSON": (
        "app.json.sort_keys = False\napp.json.compact = True",
        "app.json.ensure_ascii = False",
        "app.json.mimetype = 'application/x-own+json'\napp.json.compact = False",
    ),
    "config: session cookie": (
        "app.config.update(SESSION_COOKIE_NAME='own', SESSION_COOKIE_PATH='/r1')",
        "app.config.update(SESSION_COOKIE_SAMESITE='Strict', SESSION_COOKIE_SECURE=True)",
        "app.config.update(SESSION_COOKIE_HTTPONLY=False, SESSION_COOKIE_PARTITIONED=True)",
        "app.config['SESSION_COOKIE_DOMAIN'] = 'example.org'",
    ),
    "config: session lifetime": (
        "app.config['SESSION_REFRESH_EACH_REQUEST'] = False",
        "app.permanent_session_lifetime = datetime.timedelta(minutes=1)",
        "app.config['PERMANENT_SESSION_LIFETIME'] = 60",
    ),
    "config: no secret key": ("app.secret_key = None",),
    "config: rotated keys": (
        "app.config['SECRET_KEY_FALLBACKS'] = ['older', 'oldest']",
        "app.secret_key = b'bytes'",
    ),
    "config: SEND_FILE_MAX_AGE_DEFAULT": (
        "app.config['SEND_FILE_MAX_AGE_DEFAULT'] = 60",
        "app.get_send_file_max_age = lambda name: 9",
    ),
    "app: functions for errors of links": (
        "app.url_build_error_handlers.append(lambda error, endpoint, values: '/built')",
        "def built(error, endpoint, values):\n    log('built', endpoint, sorted(values))\n"
        "    raise error\napp.url_build_error_handlers.append(built)",
    ),
    "config: URL map": (
        "app.url_map.strict_slashes = False",
        "app.url_map.merge_slashes = False",
        "app.url_map.redirect_defaults = False",
        "app.url_map.sort_parameters = True",
    ),
    "templates: environment": (
        "app.jinja_env.autoescape = False",
        "app.jinja_env.globals['extra'] = 'global'",
        "app.jinja_options = {'trim_blocks': True}",
        "app.config['TEMPLATES_AUTO_RELOAD'] = True",
        "import jinja2\napp.jinja_env.undefined = jinja2.StrictUndefined",
    ),
    "steps: on the instance": (
        *(_ON_INSTANCE.format(step=step).strip() for step in _STEPS),
        "stock = app.ensure_sync\napp.ensure_sync = lambda f: "
        "(log('ensure_sync', getattr(f, '__name__', '')), stock(f))[1]",
    ),
    "setup: conflict": (
        "try:\n    app.add_url_rule('/x', 'static', len)\n"
        "    app.add_url_rule('/y', 'static', id)\n"
        "except AssertionError as error:\n    log(str(error).partition('\\n')[0])",
        "try:\n    app.register_error_handler(999, len)\n"
        "except ValueError as error:\n    log(type(error).__name__)",
        "try:\n    flask.Blueprint('a.b', 'x')\nexcept ValueError as error:\n    log('dotted')",
        "try:\n    app.route('x')(len)\nexcept ValueError as error:\n    log('no slash')",
        "try:\n    app.add_url_rule('/m', 'm', len, methods='GET')\n"
        "except TypeError as error:\n    log('methods')",
    ),
}

_STEP = """
def {step}(self, *args, **kwargs):
    log("{step}")
    return super().{step}(*args, **kwargs)
"""

SUBCLASSES: dict[str, tuple[str, ...]] = {
    "subclass: a step": tuple(
        _STEP.format(step=step).strip()
        for step in (
            "full_dispatch_request",
            "preprocess_request",
            "dispatch_request",
            "finalize_request",
            "make_response",
            "process_response",
            "handle_exception",
            "handle_user_exception",
            "handle_http_exception",
            "do_teardown_request",
            "do_teardown_appcontext",
            "make_default_options_response",
            "should_ignore_error",
            "log_exception",
            "raise_routing_exception",
            "trap_http_exception",
            "create_url_adapter",
            "inject_url_defaults",
            "update_template_context",
            "select_jinja_autoescape",
        )
    ),
    "subclass: Response": (
        "class response_class(flask.Response):\n    default_mimetype = 'text/plain'",
        "class response_class(flask.Response):\n    default_status = 203\n    charset = 'utf-8'",
        "class response_class(flask.Response):\n    autocorrect_location_header = True",
        "class response_class(flask.Response):\n    def get_wsgi_headers(self, environ):\n"
        "        headers = super().get_wsgi_headers(environ)\n"
        "        headers['X-Wsgi'] = '1'\n        return headers",
    ),
    "subclass: Request": (
        "class request_class(flask.Request):\n    max_form_parts = 1",
        "class request_class(flask.Request):\n    def on_json_loading_failed(self, e):\n"
        "        log('JSON failed', e is None)\n        return {'failed': True}",
        "class request_class(flask.Request):\n    def close(self):\n"
        "        log('request closed')\n        super().close()",
    ),
    "subclass: session interface": (
        "class interface(flask.sessions.SecureCookieSessionInterface):\n"
        "    def open_session(self, app, request):\n        log('open_session')\n"
        "        return super().open_session(app, request)\n"
        "    def save_session(self, app, session, response):\n        log('save_session')\n"
        "        return super().save_session(app, session, response)\n"
        "session_interface = interface()",
        "class interface(flask.sessions.SecureCookieSessionInterface):\n"
        "    def should_set_cookie(self, app, session): return True\n"
        "session_interface = interface()",
        "class interface(flask.sessions.SecureCookieSessionInterface):\n"
        "    salt = 'own'\n    key_derivation = 'django-concat'\n"
        "    def open_session(self, app, request):\n"
        "        return None if request.args.get('a') == '1' else"
        " super().open_session(app, request)\n"
        "session_interface = interface()",
    ),
    "subclass: other parts": (
        "class aborter_class(werkzeug.exceptions.Aborter):\n    def __call__(self, code, *args, "
        "**kwargs):\n        log('aborts', code)\n"
        "        return super().__call__(code, *args, **kwargs)",
        "class app_ctx_globals_class(flask.ctx._AppCtxGlobals):\n    word = 'from the class'",
        "class url_rule_class(werkzeug.routing.Rule):\n    def match_compare_key(self):\n"
        "        return ()",
        "class url_rule_class(werkzeug.routing.Rule):\n    def get_rules(self, map):\n"
        "        log('rule', self.rule)\n        return super().get_rules(map)",
        "class config_class(flask.Config):\n    def __missing__(self, key):\n"
        "        return 'missing ' + key",
        "class jinja_environment(flask.templating.Environment):\n"
        "    def get_template(self, name, *args, **kwargs):\n        log('template', name)\n"
        "        return super().get_template(name, *args, **kwargs)",
    ),
    "subclass: JSON provider": (
        "class json_provider_class(flask.json.provider.DefaultJSONProvider):\n"
        "    sort_keys = False\n    def dumps(self, obj, **kwargs):\n"
        "        return super().dumps(obj, **kwargs).upper()",
        "class json_provider_class(flask.json.provider.DefaultJSONProvider):\n"
        "    @staticmethod\n    def default(o): return 'default ' + type(o).__name__",
    ),
}
"""Bodies of a subclass of the application."""

SIGNALS = (
    "request_started",
    "request_finished",
    "request_tearing_down",
    "got_request_exception",
    "appcontext_pushed",
    "appcontext_popped",
    "appcontext_tearing_down",
    "template_rendered",
    "before_render_template",
    "message_flashed",
)
