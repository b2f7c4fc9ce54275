"""Command lines, with the files, variables and input that they meet, for either framework.

In the files `FRAMEWORK` stands for the name of the framework's package. What must be the same is
said in test_command_lines.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SITE = """\
import sys
import click
from FRAMEWORK import Blueprint, Flask, current_app, g
from FRAMEWORK.cli import AppGroup, pass_script_info, with_appcontext

def make(name, **options):
    app = Flask("site_" + name, **options)
    app.options = options

    @app.cli.command("which")
    def which():
        print(current_app.import_name, current_app.debug, current_app.options)
    return app
"""
ONE = f"{SITE}\napp = make('app')\n"
RUN = "from FRAMEWORK import Flask\napp = Flask('site')\n"
ROUTES = """\
from FRAMEWORK import Flask
app = Flask("site")
app.add_url_rule("/b/<int:x>", "alpha", methods=["POST", "GET"])
app.add_url_rule("/a", "beta", methods=["DELETE"])
app.add_url_rule("/<path:rest>", "alpha")
"""
COMMANDS = f"""\
{SITE}
app = make("app")
app.teardown_appcontext(lambda exc: print("torn down"))

@app.cli.command()
@click.argument("name")
@click.option("--count", default=1)
def greet(name, count):
    for _ in range(count):
        print("hello", name, current_app.name)

@app.cli.command("raise")
@click.argument("how")
def raise_(how):
    g.before = True
    {{"exit": lambda: sys.exit(3), "ctx": lambda: click.get_current_context().exit(4),
     "abort": lambda: click.get_current_context().abort(),
     "usage": lambda: exec("raise click.UsageError('not like this')"),
     "click": lambda: exec("raise click.ClickException('it failed')"),
     "error": lambda: 1 / 0}}[how]()

@app.cli.command(with_appcontext=False)
def bare():
    print("app current:", bool(current_app))

@app.cli.command("info")
@pass_script_info
def info(info):
    print(info.app_import_path, info.load_app().import_name, info.data, info.create_app)

group = AppGroup("users", help="Work on users.")
@group.command("create")
@click.argument("name", callback=lambda ctx, param, value: value + "@" + current_app.name)
def create(name):
    print("created", name)
@group.group("more", invoke_without_command=True)
def more():
    print("more of", current_app.name)
@more.command("deep")
def deep():
    print("deep in", current_app.name)
app.cli.add_command(group)

named = Blueprint("named", __name__)
@named.cli.command("list")
def list_named():
    print("list of named", current_app.name)
other = Blueprint("other", __name__, cli_group="grouped")
@other.cli.command("list")
def list_other():
    print("list of other", current_app.name)
merged = Blueprint("merged", __name__, cli_group=None)
@merged.cli.command("flat")
def flat():
    print("flat", current_app.name)
app.register_blueprint(named)
app.register_blueprint(other)
app.register_blueprint(merged)

@click.command()
@with_appcontext
def plain():
    print("plain", current_app.name)
app.cli.add_command(plain)
"""
PROGRAM = """\
import click
from FRAMEWORK import Flask, current_app
from FRAMEWORK.cli import FlaskGroup, ScriptInfo

def create_app():
    app = Flask("made")
    app.add_url_rule("/", "index")
    @app.cli.command()
    def who():
        print(current_app.name, current_app.debug)
    return app

@click.group(cls=FlaskGroup, create_app=create_app, OPTIONS)
def cli():
    "A program of its own."

@cli.command()
def own():
    print("own", current_app.name if current_app else "no app")

if __name__ == "__main__":
    cli()
"""


@dataclass(frozen=True)
class Line:
    """One command line. `says` are phrases that either output has; `own_text`: the words on stdout
    are our own; `same_stderr`: stderr is compared as stdout is."""

    args: str  # after a script: its title, words that it does not read
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""
    script: str = ""
    without: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    own_text: bool = False
    same_stderr: bool = False

    @property
    def title(self) -> str:
        env = " ".join(f"{name}={value}" for name, value in self.env.items())
        return " ".join(part for part in (env, self.script, self.args) if part) or "nothing"


def found() -> Iterator[Line]:
    """Where the application is."""
    for app in ("site_mod", "site_mod.py", "./site_mod.py", "site_mod:app", "site_mod.py:app",
                "site_mod: app ", "site_mod:other"):  # fmt: skip
        yield Line(f"--app '{app}' which", {"site_mod.py": f"{ONE}other = make('other')\n"})
    package = {"pkg/__init__.py": ONE, "pkg/sub/__init__.py": "", "pkg/sub/deep.py": ONE}
    for app in ("pkg", "pkg/", "pkg/__init__.py", "pkg.sub.deep", "pkg/sub/deep.py:app"):
        yield Line(f"-A {app} which", package)
    factories = f"""{SITE}
def create_app(name="made", debug=None, *rest, **more): return make(name, static_folder=debug)
class Maker:
    def __call__(self): return make("called")
maker = Maker()
"""
    for call in ("", ":create_app", ":create_app()", ":create_app('a')", ":create_app('a', 'b')",
                 ":create_app('a', debug='b')", ":create_app(name='n', debug=None)"):  # fmt: skip
        yield Line(f'--app "site_mod{call}" which', {"site_mod.py": factories})
    yield Line("--app site_mod:maker which", {"site_mod.py": factories}, says=("No such command",))
    for name in ("wsgi.py", "app.py"):
        yield Line("which", {name: ONE})
    yield Line("which", {"wsgi.py": SITE + "app = make('wsgi')\n", "app.py": ONE})
    yield Line("which", {"wsgi.py": "", "app.py": ONE}, says=("Failed to find Flask application",))
    yield Line("which", {"site_mod.py": ONE}, {"FLASK_APP": "site_mod:app"})
    yield Line("--app other which", {"site_mod.py": ONE, "other.py": ONE}, {"FLASK_APP": "gone"})
    yield Line("--app gone --app site_mod which", {"site_mod.py": ONE})
    yield Line("which --app site_mod", {"site_mod.py": ONE}, says=("No such command 'which'",))
    yield Line("which", {"app.py": SITE + "application = make('application')\n"})
    yield Line("which", {"app.py": SITE + "anything = make('anything')\n"})
    yield Line("which", {"app.py": SITE + "def make_app(): return make('make_app')\n"})


def not_found() -> Iterator[Line]:
    """Applications that are not where they are said to be, each with the phrase for it."""
    faults = {
        "gone": "Could not import 'gone'.",
        "site_mod:gone": "Failed to find attribute 'gone' in 'site_mod'.",
        "site_mod:text": "A valid Flask application was not obtained from 'site_mod:text'.",
        "site_mod:none": "A valid Flask application was not obtained from 'site_mod:none'.",
        "site_mod:needs": "could not be called with the specified arguments",
        "site_mod:needs(1, 2)": "could not be called with the specified arguments",
        "site_mod:needs(x)": "Failed to parse arguments as literal values: 'needs(x)'.",
        "site_mod:needs(": "Failed to parse 'needs(' as an attribute name or function call.",
        "site_mod:a.b": "Failed to parse 'a.b' as an attribute name or function call.",
        "site_mod:a.b()": "Function reference must be a simple name: 'a.b()'.",
        "site_mod:1": "Failed to parse '1' as an attribute name or function call.",
        "two": "Detected multiple Flask applications in module 'two'.",
        "broken": "While importing 'broken', an ImportError was raised:",
        "factory": "Detected factory 'create_app' in module 'factory', but could not call it",
        "empty": "Failed to find Flask application or factory in module 'empty'.",
    }
    files = {
        "site_mod.py": "text = 'x'\ndef none(): pass\ndef needs(a): pass\n",
        "two.py": "from FRAMEWORK import Flask\na, b = Flask('a'), Flask('b')\n",
        "broken.py": "import no_such_library\n",
        "factory.py": "def create_app(a): pass\n",
        "empty.py": "",
    }
    for app, phrase in faults.items():
        yield Line(f'--app "{app}" run', files, says=(phrase, "Error: "))
        yield Line(f'--app "{app}" which', files, says=(phrase, "No such command 'which'"))
    yield Line("run", says=("Could not locate a Flask application.", "FLASK_APP"))
    yield Line("which", says=("Could not locate a Flask application.", "No such command 'which'"))
    raising = {
        "zero.py": "1 / 0\n",
        "syntax.py": "def\n",
        "exits.py": "raise SystemExit(5)\n",
        "type_error.py": "def create_app(): return len(1)\n",
    }
    for app, phrase in (("zero", "ZeroDivisionError"), ("syntax", "SyntaxError"), ("exits", ""),
                        ("type_error", "TypeError")):  # fmt: skip
        for command in ("run", "which"):
            yield Line(f"--app {app} {command}", raising, says=(phrase,))
        yield Line(f"--app {app} --help", raising, says=(phrase,), own_text=True)


def run() -> Iterator[Line]:
    """Every option of `run`, by the arguments that Werkzeug's server would get."""
    for options in ("", "--host 0.0.0.0 --port 8000", "-h ::1 -p 0", "--reload", "--no-reload",
                    "--debugger", "--no-debugger", "--with-threads", "--without-threads",
                    "--debug", "--no-debug", "--debug --no-reload --no-debugger",
                    "--extra-files app.py", "--extra-files app.py:pki.py",
                    "--exclude-patterns '*/a/*:b'", "--cert pki.py --key app.py",
                    "--key app.py --cert pki.py", "--cert pki:context",
                    "--cert adhoc", "--cert ADHOC"):  # fmt: skip
        yield Line(f"run {options}", RUN_FILES)
    for before in ("--debug", "--no-debug"):
        yield Line(f"{before} run", RUN_FILES)
        yield Line(f"{before} run --no-debug", RUN_FILES, {"FLASK_DEBUG": "1"})
    variables = {
        "FLASK_DEBUG": ("1", "0", "true", "no"),
        "FLASK_RUN_HOST": ("0.0.0.0",),
        "FLASK_RUN_PORT": ("8000",),
        "FLASK_RUN_CERT": ("adhoc", "pki:context"),
        "FLASK_RUN_RELOAD": ("1", "0"),
        "FLASK_RUN_DEBUGGER": ("1", "false"),
        "FLASK_RUN_WITH_THREADS": ("0",),
        "FLASK_RUN_EXTRA_FILES": ("app.py:pki.py",),
        "FLASK_RUN_EXCLUDE_PATTERNS": ("a:b",),
        "FLASK_RUN_DEBUG": ("1",),
    }
    for name, values in variables.items():
        for value in values:
            yield Line("run", RUN_FILES, {name: value})
    yield Line("run --port 1", RUN_FILES, {"FLASK_RUN_PORT": "2", "FLASK_DEBUG": "1"})
    yield Line("run", RUN_FILES, {"FLASK_RUN_CERT": "pki.py", "FLASK_RUN_KEY": "app.py"})
    yield Line("--app app run", RUN_FILES)
    yield Line("--app app:app run --debug", RUN_FILES, {"WERKZEUG_RUN_MAIN": "true"})
    yield Line("run", {"app.py": "1 / 0\n"}, {"WERKZEUG_RUN_MAIN": "true"},
               says=("ZeroDivisionError",))  # fmt: skip
    yield Line("run", {"app.py": f"{RUN}app.run()\n"}, says=("Ignoring a call to 'app.run()'",),
               own_text=True)  # fmt: skip
    seen = "import os\nprint('debug', os.environ.get('FLASK_DEBUG'))\n"
    for options in ("run", "run --debug", "--debug run", "run --no-debug"):
        yield Line(options, {"app.py": seen + RUN})
    for options, phrase in RUN_REFUSED.items():
        yield Line(f"run {options}", RUN_FILES, says=(phrase,))
    yield Line("run", RUN_FILES, {"FLASK_RUN_PORT": "x"}, says=("'x' is not a valid integer",))
    yield Line("run", RUN_FILES, {"FLASK_DEBUG": "x"}, says=("'x' is not a valid boolean",))
    for library, phrase in (
        ("ssl", 'Using "--cert" requires Python to be compiled with SSL support.'),
        ("cryptography", "Using ad-hoc certificates requires the cryptography library."),
    ):
        yield Line("run --cert adhoc", RUN_FILES, without=(library,), says=(phrase,))


RUN_FILES = {
    "app.py": RUN,
    "pki.py": "import ssl\ncontext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\ntext = 'x'\n",
    # Stands for the library: what it does is Werkzeug's business, and is not reached.
    "cryptography.py": "",
}
RUN_REFUSED = {
    "--port x": "Invalid value for '--port' / '-p': 'x' is not a valid integer.",
    "--port": "Option '--port' requires an argument.",
    "--nothing": "No such option",
    "more": "Got unexpected extra argument (more)",
    "--cert gone.pem": "File 'gone.pem' does not exist.",
    "--cert pki:text": "File 'pki:text' does not exist.",
    "--cert pki:gone": "File 'pki:gone' does not exist.",
    "--cert app.py": 'Required when using "--cert".',
    "--key app.py": '"--cert" must also be specified.',
    "--key gone.pem": "File 'gone.pem' does not exist.",
    "--cert adhoc --key app.py": 'When "--cert" is "adhoc", "--key" is not used.',
    "--cert pki:context --key app.py": '"--cert" is an SSLContext object, "--key" is not used.',
    "--app app": "No such option",
    "--debug=1": "does not take a value",
}


def shell() -> Iterator[Line]:
    """The shell: its banner, names, startup file and end."""
    app = f"{RUN}app.shell_context_processor(lambda: {{'answer': 42, 'g': 'own'}})\n"
    files = {"app.py": app, "start.py": "import os\nanswer = started = 'by file'\n"}
    ask = "print(app.name, answer, g, 'started' in globals(), __name__)\n"
    yield Line("shell", files, stdin=ask, same_stderr=True)
    yield Line("shell", files, {"PYTHONSTARTUP": "start.py"}, ask, same_stderr=True)
    yield Line("shell", files, {"PYTHONSTARTUP": "gone.py"}, ask, same_stderr=True)
    yield Line("shell", files, stdin="exit(3)\n", same_stderr=True)
    yield Line("shell", files, stdin="1 / 0\nprint('goes on')\n", same_stderr=True)
    yield Line("shell", {**files, "bad.py": "1 / 0\n"}, {"PYTHONSTARTUP": "bad.py"},
               says=("ZeroDivisionError",))  # fmt: skip
    yield Line("shell", {"app.py": "x = 1\n"}, says=("Failed to find Flask application",))
    yield Line("shell --simple", files, says=("No such option",))


def routes() -> Iterator[Line]:
    """The table of routes; tests/cli/test_routes.py has more."""
    for options in ("", "--sort rule", "-s methods --all-methods", "-s match", "-s domain"):
        yield Line(f"routes {options}", {"app.py": ROUTES}, same_stderr=True)
    yield Line("routes", {"app.py": ROUTES}, {"FLASK_ROUTES_SORT": "rule"})
    yield Line("routes", {"app.py": ROUTES}, {"FLASK_ROUTES_ALL_METHODS": "1"})
    yield Line("routes -s size", {"app.py": ROUTES}, says=("'size' is not one of",))
    yield Line("routes", says=("Could not locate a Flask application.",))
    hosts = "from FRAMEWORK import Flask\napp = Flask('s', host_matching=True, static_host='h')\n"
    yield Line("routes", {"app.py": hosts + "app.add_url_rule('/', 'a', host='a.b')\n"})
    subdomains = "from FRAMEWORK import Flask\napp = Flask('s', subdomain_matching=True)\n"
    yield Line("routes", {"app.py": subdomains + "app.add_url_rule('/', 'a', subdomain='a')\n"})
    yield Line(
        "routes", {"app.py": "from FRAMEWORK import Flask\napp = Flask('s', static_folder=None)"}
    )


def commands() -> Iterator[Line]:
    """Commands of applications, blueprints and groups, and how they end."""
    for line in ("greet Ann", "greet Ann --count 2", "bare", "info", "users create Ann",
                 "users more", "users more deep", "named list", "grouped list", "flat", "plain",
                 "raise exit", "raise ctx"):  # fmt: skip
        yield Line(line, {"app.py": COMMANDS}, same_stderr=True)
    for how, phrase in (("abort", "Aborted!"), ("usage", "Error: not like this"),
                        ("click", "Error: it failed"), ("error", "ZeroDivisionError")):  # fmt: skip
        yield Line(f"raise {how}", {"app.py": COMMANDS}, says=(phrase,))
    for line, phrase in (
        ("greet", "Missing argument 'NAME'."),
        ("greet Ann --count x", "'x' is not a valid integer"),
        ("gone", "No such command 'gone'."),
        ("users gone", "No such command 'gone'."),
        ("named", "Usage: "),
        ("merged flat", "No such command 'merged'."),
    ):
        yield Line(line, {"app.py": COMMANDS}, says=(phrase,), own_text=line == "named")
    for line in ("users --help", "greet --help", "users more --help"):
        yield Line(line, {"app.py": COMMANDS}, same_stderr=True)
    yield Line("--app app info", {"app.py": COMMANDS})
    plugin = {
        "plugin_lib.py": "import click\nfrom FRAMEWORK.cli import with_appcontext\n"
        "from FRAMEWORK import current_app\n"
        "plain = click.command()(lambda: print('plugged in'))\n"
        "inside = click.command()(with_appcontext(lambda: print('in', current_app.name)))\n",
        "plugin_lib-1.dist-info/METADATA": "Name: plugin-lib\nVersion: 1\n",
        "plugin_lib-1.dist-info/entry_points.txt": "[flask.commands]\nplugged = plugin_lib:plain\n"
        "inside = plugin_lib:inside\nroutes = plugin_lib:plain\n",
    }
    for line in ("plugged", "inside", "routes"):
        yield Line(line, {"app.py": RUN, **plugin}, same_stderr=True)
    yield Line("plugged", plugin, same_stderr=True)


def environment() -> Iterator[Line]:
    """Variables from files, and what reads them."""
    show = f"{SITE}\nimport os\napp = make('app')\n@app.cli.command()\ndef env():\n" + (
        "    print({k: v for k, v in sorted(os.environ.items()) if k[0] == 'X'})\n"
        "    print(current_app.debug, os.path.basename(os.getcwd()) == 'below')\n"
    )
    files = {
        "site_mod.py": show,
        ".flaskenv": "FLASK_APP=site_mod\nXA=flaskenv\nXB=flaskenv\nXC=flaskenv\nFLASK_DEBUG=1\n",
        ".env": "XB=env\nXC=env\n",
        "my.env": "XC=mine\nXD=${XB}\n",
    }
    yield Line("env", files, same_stderr=True)
    yield Line("-e my.env env", files, same_stderr=True)
    yield Line("--env-file my.env --app site_mod env", files, {"FLASK_SKIP_DOTENV": "1"})
    yield Line("env", files, {"FLASK_SKIP_DOTENV": "1"}, says=("Could not locate",))
    yield Line("env", files, {"FLASK_SKIP_DOTENV": "0"})
    yield Line("env", files, {"XA": "set", "FLASK_DEBUG": "0"}, same_stderr=True)
    yield Line("env", files, {"FLASK_ENV_FILE": "my.env"})
    yield Line("-e gone.env env", files, says=("File 'gone.env' does not exist.",))
    yield Line("-e . env", files, says=("File '.' is a directory.",))
    yield Line("--app site_mod env", files, without=("dotenv",), says=(" * Tip: There are .env",))
    yield Line("-e my.env --app site_mod env", files, without=("dotenv",),
               says=("python-dotenv must be installed to load an env file.",))  # fmt: skip
    yield Line("--help", files, says=("env", "run", "shell", "routes"), own_text=True)
    yield Line("", files, says=("env", "run", "shell", "routes"), own_text=True)
    yield Line("--debug env", {"site_mod.py": show}, {"FLASK_APP": "site_mod"})
    for name in ("FLASK_APP", "FLASK_DEBUG", "FLASK_RUN_PORT", "FLASK_RUN_HOST", "FLASK_RUN_CERT",
                 "FLASK_RUN_RELOAD", "FLASK_RUN_EXTRA_FILES", "FLASK_SKIP_DOTENV"):  # fmt: skip
        yield Line("run", {**RUN_FILES, ".env": "FLASK_RUN_PORT=82\n"}, {name: ""})
        yield Line("run", {**RUN_FILES, ".env": f"{name}=\n"})
    yield Line('--app "" run', RUN_FILES)
    yield Line("run", {**RUN_FILES, ".flaskenv": "FLASK_RUN_PORT=81\nFLASK_RUN_HOST=h\n"})
    yield Line("run -p 1", {**RUN_FILES, ".env": "FLASK_RUN_PORT=81\nFLASK_DEBUG=1\n"})
    yield Line("-e a.env -e b.env run", {**RUN_FILES, "a.env": "FLASK_RUN_PORT=81\n",
                                         "b.env": "FLASK_RUN_HOST=b\n"})  # fmt: skip
    yield Line(
        "run", {"above.py": RUN, "app.py": RUN, ".env": "export FLASK_APP='above:app'  # x\n"}
    )
    yield Line("run", {"app.py": RUN, ".env": "FLASK_RUN_PORT\n=\nFLASK_RUN_HOST='h\n"})
    yield Line("--version", says=("Python 3.", "Werkzeug "), own_text=True)
    yield Line("--gone", says=("No such option",))


def programs() -> Iterator[Line]:
    """Programs made with `FlaskGroup`."""
    for options in ("", "add_default_commands=False", "add_version_option=False",
                    "load_dotenv=False", "set_debug_flag=False",
                    "context_settings={'auto_envvar_prefix': 'TOOL'}"):  # fmt: skip
        files = {"tool.py": PROGRAM.replace("OPTIONS", options), ".flaskenv": "FLASK_DEBUG=1\n"}
        for line in ("who", "own", "routes", "run", "--debug who"):
            yield Line(line, files, {"TOOL_RUN_PORT": "81"}, script="tool.py",
                       says=("No such command",) if "default" in options and line in
                       {"run", "routes"} else ())  # fmt: skip
        yield Line("--version", files, script="tool.py", own_text=True)
    files = {"tool.py": PROGRAM.replace("OPTIONS", ""), "other.py": ONE}
    yield Line("--app other who", files, script="tool.py")
    yield Line("--app other which", files, script="tool.py", says=("No such command 'which'",))


def scripts() -> Iterator[Line]:
    """`app.run()` in a script."""
    for arguments in ("", "host='0.0.0.0', port=81", "port='82'", "port=0", "None, None, True",
                      "debug=False", "debug=True, use_reloader=False", "use_debugger=True",
                      "threaded=False, processes=2", "load_dotenv=False", "ssl_context='adhoc'",
                      "extra_files=['x'], passthrough_errors=True"):  # fmt: skip
        files = {"s.py": f"{RUN}app.run({arguments})\nprint(app.debug, app._got_first_request)\n"}
        for env in ({}, {"FLASK_DEBUG": "1"}):
            yield Line(arguments, files, env, script="s.py")
        yield Line(arguments, {**files, ".env": "FLASK_DEBUG=1\n"}, script="s.py")
    for name in ("example.com", "example.com:81", ":82", "", "example.com:", "example.com:x"):
        for arguments in ("", "host='own'", "port=0", "port=83"):
            site = f"{RUN}app.config['SERVER_NAME'] = {name!r}\napp.run({arguments})\n"
            yield Line(f"{name} {arguments}", {"s.py": site}, script="s.py")
    files = {"s.py": f"{RUN}app.debug = True\napp.run()\n", ".flaskenv": "FLASK_DEBUG=0\n"}
    yield Line("debug set before", files, script="s.py")
    yield Line("no dotenv", files, {"FLASK_SKIP_DOTENV": "1"}, script="s.py")
    yield Line("child of the reloader", files, {"WERKZEUG_RUN_MAIN": "true"}, script="s.py")


LINES = [
    line
    for group in (found, not_found, run, shell, routes, commands, environment, programs, scripts)
    for line in group()
]
