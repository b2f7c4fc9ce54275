"""gunicorn, Celery, pytest with pytest-flask, Alembic and Flask-Migrate, started by `as-flask`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.processes.programs import (
    BIN,
    DEMIJOHN,
    MODULE,
    answers,
    free_port,
    get,
    output,
    run,
    started,
)

Write = Callable[[str, str], Path]
#: The start of each file below that reports what it runs on.
WHERE = """
import sys
from importlib.metadata import version
import flask
def where():
    ours = flask.Flask is sys.modules["demijohn"].Flask and "demijohn" in flask.__file__
    return {"ours": ours, "version": version("flask")}
"""
ON_DEMIJOHN = {"ours": True, "version": "3.1.3"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a file of the test's folder."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


# ---- the alias itself, in an environment of its own


@pytest.mark.parametrize("program", [DEMIJOHN, MODULE], ids=["script", "module"])
def test_both_forms_of_the_command(program: tuple[str, ...], tmp_path: Path, write: Write) -> None:
    """The console script and `python -m demijohn` start a program whose children inherit it."""
    write("child.py", WHERE + "import json\nprint(json.dumps(where()))")
    write("parent.py", "import subprocess, sys; subprocess.run([sys.executable, 'child.py'])")
    assert json.loads(output(*program, "as-flask", "python", "parent.py", cwd=tmp_path)) == (
        ON_DEMIJOHN
    )


def test_what_this_environment_has(tmp_path: Path) -> None:
    """Control: without the alias, flask is real here or missing, as this run is named for."""
    found = run(sys.executable, "-c", "import flask; print(flask.__file__)", cwd=tmp_path)
    if found.returncode:
        assert "No module named 'flask'" in found.stdout
        assert not (BIN / "flask").exists()
    else:
        assert "demijohn" not in found.stdout and (BIN / "flask").exists()


def test_the_program_flask(tmp_path: Path, write: Write) -> None:
    """`as-flask flask` is this package's command line, also where Flask's own program exists."""
    write(
        "app.py",
        WHERE + "app = flask.Flask(__name__)\napp.cli.command('w')(lambda: print(where()))",
    )
    assert output(*DEMIJOHN, "as-flask", "flask", "w", cwd=tmp_path).strip() == str(ON_DEMIJOHN)
    if (BIN / "flask").exists():
        script = (str(BIN / "flask"), "w")
        assert output(*DEMIJOHN, "as-flask", *script, cwd=tmp_path).strip() == str(ON_DEMIJOHN)


# ---- gunicorn

SITE = """
from flask import Flask, jsonify
from flask_login import LoginManager, current_user
from flask_wtf import CSRFProtect
app = Flask(__name__)
app.secret_key = "k"
LoginManager(app).user_loader(lambda name: None)
CSRFProtect(app)
@app.get("/")
def index():
    return jsonify(where(), current_user.is_anonymous)
"""


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_gunicorn(options: tuple[str, ...], tmp_path: Path, write: Write) -> None:
    """gunicorn's workers import a site with extensions through the alias."""
    write("site_.py", WHERE + SITE)
    port = free_port()
    command = (*DEMIJOHN, "as-flask", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", *options)
    with started(*command, "site_:app", cwd=tmp_path, ready=answers(port)):
        assert json.loads(get(port)[1]) == [ON_DEMIJOHN, True]


def test_gunicorn_with_two_lines_in_wsgi(tmp_path: Path, write: Write) -> None:
    """Without a launcher, two lines at the top of `wsgi.py` do the same."""
    write("site_.py", WHERE + SITE)
    write("wsgi.py", "import demijohn\ndemijohn.install_as_flask()\nfrom site_ import app\n")
    port = free_port()
    command = (str(BIN / "gunicorn"), "-b", f"127.0.0.1:{port}", "wsgi:app")
    with started(*command, cwd=tmp_path, ready=answers(port)):
        assert json.loads(get(port)[1]) == [ON_DEMIJOHN, True]


# ---- Celery

TASKS = """
from pathlib import Path
from celery import Celery, Task
from flask import Flask, current_app, has_request_context
HERE = Path(__file__).parent
for name in ("queue", "results"):
    (HERE / name).mkdir(exist_ok=True)
flask_app = Flask(__name__)
flask_app.config["SHELF"] = "B12"
class FlaskTask(Task):
    def __call__(self, *args, **kwargs):
        with flask_app.app_context():
            return self.run(*args, **kwargs)
app = Celery("tasks", task_cls=FlaskTask)
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={"data_folder_in": HERE / "queue", "data_folder_out": HERE / "queue"},
    result_backend=(HERE / "results").as_uri(),
    worker_hijack_root_logger=False,
)
@app.task
def find(book):
    return [book, current_app.config["SHELF"], has_request_context(), where()]
"""
CALL = """
import json, tasks
print(json.dumps(tasks.find.delay("Menabrea").get(timeout=60)))
"""


@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_celery(pool: str, tmp_path: Path, write: Write) -> None:
    """A worker and its caller are two processes; the task has `current_app` through the alias."""
    write("tasks.py", WHERE + TASKS)
    write("call.py", CALL)
    worker = (*DEMIJOHN, "as-flask", "celery", "-A", "tasks", "worker", "--pool", pool)
    options = ("--concurrency", "1", "--loglevel", "info", "--without-mingle", "--without-gossip")
    log = tmp_path / "log-0.txt"
    with started(*worker, *options, cwd=tmp_path, ready=lambda: " ready." in log.read_text()):
        answer = output(*DEMIJOHN, "as-flask", "python", "call.py", cwd=tmp_path)
    assert json.loads(answer) == ["Menabrea", "B12", False, ON_DEMIJOHN]


# ---- pytest with pytest-flask

SUITE = """
import pytest, subprocess, sys, urllib.request
from flask import Flask, request, session, url_for
@pytest.fixture
def app():
    app = Flask(__name__)
    app.config.update(TESTING=True, SECRET_KEY="k")
    @app.get("/<name>")
    def hello(name):
        session["n"] = 1
        return {"hello": name, **where()}
    return app
def test_client(client, accept_json):
    response = client.get(url_for("hello", name="ada"), headers=accept_json)
    assert response.json == {"hello": "ada", "ours": True, "version": "3.1.3"}
    assert response.status_code == 200 and session["n"] == 1 and request.path == "/ada"
@pytest.mark.options(TESTING=False)
def test_options(config):
    assert config["TESTING"] is False
@pytest.mark.usefixtures("client_class")
class TestClass:
    def test_client(self):
        assert self.client.get(url_for("hello", name="x")).json["ours"]
def test_children():
    code = "import flask; assert 'demijohn' in flask.__file__"
    subprocess.run([sys.executable, "-c", code], check=True)
"""


@pytest.mark.parametrize(
    "command",
    [
        (*DEMIJOHN, "as-flask", "pytest"),
        (*DEMIJOHN, "as-flask", "pytest", "-n", "2"),
        (str(BIN / "pytest"), "-p", "demijohn.pytest_alias"),
        (str(BIN / "pytest"), "-p", "demijohn.pytest_alias", "-n", "2"),
    ],
    ids=["as-flask", "as-flask on workers", "plugin", "plugin on workers"],
)
def test_pytest_flask(command: tuple[str, ...], tmp_path: Path, write: Write) -> None:
    """A suite with pytest-flask's fixtures passes through the launcher and through the plugin."""
    write("test_suite.py", WHERE + SUITE)
    found = output(*command, "-q", "-p", "no:cacheprovider", "test_suite.py", cwd=tmp_path)
    assert "4 passed" in found, found


def test_the_plugin_can_be_turned_off(tmp_path: Path, write: Write) -> None:
    """With `DEMIJOHN_AS_FLASK=0` the plugin does nothing, so the same suite is not ours."""
    write("test_suite.py", WHERE + SUITE)
    command = (str(BIN / "pytest"), "-p", "demijohn.pytest_alias", "-q", "test_suite.py")
    found = run(*command, cwd=tmp_path, DEMIJOHN_AS_FLASK="0")
    assert found.returncode != 0 and "4 passed" not in found.stdout


# ---- Alembic and Flask-Migrate

MODELS = """
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
db = SQLAlchemy()
class Book(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    title = db.Column(db.String(80), nullable=False)
def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///books.sqlite"
    db.init_app(app)
    migrate(app)
    return app
def migrate(app):
    try:
        from flask_migrate import Migrate
    except ImportError:
        return
    Migrate(app, db)
"""
ENV = """
from alembic import context
from flask import current_app
from books import create_app, db
from sqlalchemy import create_engine
with create_app().app_context():
    assert current_app.name == "books" and where() == {"ours": True, "version": "3.1.3"}
    with db.engine.connect() as connection:
        context.configure(connection=connection, target_metadata=db.metadata)
        with context.begin_transaction():
            context.run_migrations()
"""
TEMPLATE = '''
"""${message}"""
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
from alembic import op
import sqlalchemy as sa
def upgrade():
    ${upgrades if upgrades else "pass"}
def downgrade():
    ${downgrades if downgrades else "pass"}
'''
COUNT = """
from books import Book, create_app, db
with create_app().app_context():
    db.session.add(Book(title="Sketch"))
    db.session.commit()
    print(db.session.query(Book).count())
"""


def test_alembic(tmp_path: Path, write: Write) -> None:
    """An `env.py` that imports from flask makes a migration from the models and applies it."""
    write("alembic.ini", "[alembic]\nscript_location = migrations\nprepend_sys_path = .\n")
    write("migrations/env.py", WHERE + ENV)
    write("migrations/script.py.mako", TEMPLATE)
    write("migrations/versions/none.txt", "")
    write("books.py", MODELS)
    write("count.py", COUNT)
    alembic = (*DEMIJOHN, "as-flask", "alembic")
    output(*alembic, "revision", "--autogenerate", "-m", "books", cwd=tmp_path)
    [version] = (tmp_path / "migrations" / "versions").glob("*.py")
    assert "create_table('book'" in version.read_text()
    output(*alembic, "upgrade", "head", cwd=tmp_path)
    assert output(*DEMIJOHN, "as-flask", "python", "count.py", cwd=tmp_path).split()[-1] == "1"


def test_flask_migrate(tmp_path: Path, write: Write) -> None:
    """Its plug-in command `db` works through `as-flask flask` and through `demijohn --as-flask`."""
    write("books.py", MODELS)
    write("count.py", COUNT)
    flask = (*DEMIJOHN, "as-flask", "flask", "--app", "books")
    output(*flask, "db", "init", cwd=tmp_path)
    output(*flask, "db", "migrate", "-m", "books", cwd=tmp_path)
    output(*DEMIJOHN, "--as-flask", "--app", "books", "db", "upgrade", cwd=tmp_path)
    assert output(*DEMIJOHN, "as-flask", "python", "count.py", cwd=tmp_path).split()[-1] == "1"
