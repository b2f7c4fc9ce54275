"""`Demijohn` and `Blueprint`: the parts put together, as applications use them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any, AnyStr, overload

from demijohn import typing as ft

from .cli.env import load_dotenv as load_dotenv_files
from .cli.groups import AppGroup
from .framework.app_base import AppBase
from .framework.blueprints import Blueprint as BlueprintBase
from .framework.blueprints import _sentinel
from .framework.config import get_load_dotenv
from .framework.contexts import RequestContext
from .framework.globals import current_app
from .framework.helpers import send_from_directory
from .framework.scaffold import setupmethod
from .framework.templates import _default_template_ctx_processor
from .framework.wrappers import Response
from .serve import dev
from .serve.guesses import double_callable, refuse_rsgi
from .serve.mounted import Interface, Mount
from .serve.mounts import Mounts, WSGIMounts
from .serve.stopping import Stopping, stopping_of
from .serve.wsgi import wsgi_app as serve_wsgi
from .testing.client import EnvironBuilder, FlaskClient
from .testing.runner import FlaskCliRunner

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .serve.lifespan import Serving
    from .testing.async_client import AsyncClient


class Demijohn(AppBase):
    """A WSGI application: the registry of views, rules, hooks and settings, and what serves them.

    Arguments:
        import_name: the module or package that the application belongs to, usually `__name__`.
        static_url_path: where static files are served; by default the folder's name.
        static_folder: the folder with static files, below `root_path` or absolute.
        static_host: the host of the static route; needed with `host_matching`.
        host_matching: match rules by host (`url_map.host_matching`).
        subdomain_matching: match rules by the subdomain below `SERVER_NAME`.
        template_folder: the folder with templates.
        instance_path: the instance folder, absolute.
        instance_relative_config: load relative configuration files from the instance folder.
        root_path: the folder of the application's files, where it cannot be found.
    """

    test_client_class: type[FlaskClient] | None = None
    test_cli_runner_class: type[FlaskCliRunner] | None = None
    _asgi_app: ft.ASGIApplication | None = None

    def __init__(
        self,
        import_name: str,
        static_url_path: str | None = None,
        static_folder: str | os.PathLike[str] | None = "static",
        static_host: str | None = None,
        host_matching: bool = False,
        subdomain_matching: bool = False,
        template_folder: str | os.PathLike[str] | None = "templates",
        instance_path: str | None = None,
        instance_relative_config: bool = False,
        root_path: str | None = None,
    ):
        super().__init__(
            import_name=import_name,
            static_url_path=static_url_path,
            static_folder=static_folder,
            static_host=static_host,
            host_matching=host_matching,
            subdomain_matching=subdomain_matching,
            template_folder=template_folder,
            instance_path=instance_path,
            instance_relative_config=instance_relative_config,
            root_path=root_path,
        )
        #: The commands of this application, under the `demijohn` command.
        self.cli = AppGroup()
        self.cli.name = self.name
        if self.has_static_folder:
            assert bool(static_host) == host_matching, (
                "Invalid static_host/host_matching combination"
            )
            # Weak, because application and view function would keep each other alive.
            app = weakref.ref(self)
            self.add_url_rule(
                f"{self.static_url_path}/<path:filename>",
                endpoint="static",
                host=static_host,
                view_func=lambda **kw: app().send_static_file(**kw),  # type: ignore[union-attr]
            )

    wsgi_app = serve_wsgi
    _mounts: Mounts | None = None

    @property
    def asgi_app(self) -> ft.ASGIApplication:
        """What an ASGI server is given: `uvicorn board:app.asgi_app`. Put middleware around it:
        `app.asgi_app = Middleware(app.asgi_app)`."""
        if self._asgi_app is not None:
            return self._asgi_app
        # Not at import time: an application that is served by WSGI never loads asyncio. Not kept:
        # the two would keep each other alive.
        from .serve.asgi import ASGIApp

        return ASGIApp(self)

    @asgi_app.setter
    def asgi_app(self, asgi_app: ft.ASGIApplication) -> None:
        self._asgi_app = asgi_app

    @overload
    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse, /
    ) -> Iterable[bytes]: ...
    @overload
    def __call__(self, scope: Any, receive: Any, send: Any, /) -> Coroutine[Any, Any, None]: ...
    @overload
    def __call__(self, scope: Any, /) -> Callable[..., Awaitable[None]]: ...
    def __call__(self, environ: Any, start_response: Any = None, send: Any = None) -> Any:
        """What a WSGI server calls with two arguments, and an ASGI server with three, or with one
        and then two. Put middleware around `wsgi_app` or `asgi_app` and leave this alone:
        `app.wsgi_app = Middleware(app.wsgi_app)`."""
        if send is not None:
            return self.asgi_app(environ, start_response, send)
        if start_response is None:
            return double_callable(self, environ)
        return self.wsgi_app(environ, start_response)

    def __rsgi__(self, scope: Any, protocol: Any) -> Coroutine[Any, Any, None]:
        return refuse_rsgi(self, scope, protocol)

    @property
    def stopping(self) -> Stopping:
        """Whether this process has begun to stop serving: `while not current_app.stopping:`.

        For loops of your own, `stopping.wait(seconds)` in a thread and `await
        stopping.wait_async()` in a task.
        """
        return stopping_of(self)

    def serving(self) -> Serving:
        """The application as it is served: `with app.serving():`, `async with app.serving():`.

        `before_serving` and `while_serving` functions run when the block is entered; at its end
        `after_serving` functions and the rest of the `while_serving` ones do, and resources of
        lifetime `app` are closed. For tests, and around a WSGI server, which does no such thing. On
        the main thread SIGTERM and SIGINT begin the `stopping`. Raises what they raise.
        """
        # Not at import time, as it loads asyncio.
        from .serve.asgi import threads_of
        from .serve.lifespan import Serving

        return Serving(self, threads_of(self))

    @setupmethod
    def mount(self, prefix: str, other: Any, *, interface: Interface | None = None) -> None:
        """Serve another application under a prefix: `app.mount("/admin", django_application)`.

        It gets every request whose path is the prefix or goes on with a slash after it, whatever
        routes there are; of several prefixes the longest. It finds the prefix in `SCRIPT_NAME`
        (`root_path`) and the rest in `PATH_INFO`, which is empty for the prefix alone, and sees
        none of this application's contexts, hooks and error handlers.

        Mount before `wsgi_app` is wrapped, so that middleware is around what is mounted too.

        Arguments:
            prefix: a path, not percent-encoded, as in `"/admin"`.
            other: a WSGI or an ASGI application, or another `Demijohn`.
            interface: which of the two it is, where its signature does not tell.

        Raises `TypeError` for what is no application or could be both, `ValueError` for a prefix
        that is none or is taken, and `RuntimeError` where `wsgi_app` was replaced or overridden.
        """
        mounts = self._mounts
        if mounts is None:
            if "wsgi_app" in vars(self) or type(self).wsgi_app is not Demijohn.wsgi_app:
                raise RuntimeError(
                    f"mount({prefix!r}, ...): `wsgi_app` of {self.name!r} is {self.wsgi_app!r}"
                    " already, which would not be around what is mounted. Mount first, then"
                    " `app.wsgi_app = Middleware(app.wsgi_app)`."
                )
            mounts = Mounts(self)
        mounts.add(prefix, other, interface)
        if self._mounts is None:
            self._mounts = mounts
            setattr(self, "wsgi_app", WSGIMounts(self, mounts, self.wsgi_app))

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """What is mounted here, the longest prefix first."""
        return () if self._mounts is None else tuple(self._mounts)

    @property
    def _runs_around_serving(self) -> bool:
        return super()._runs_around_serving or any(
            mount.interface == "asgi"
            or (mount.interface == "both" and mount.app._runs_around_serving)
            for mount in self.mounts
        )

    def close(self) -> None:
        """Close the resources of lifetime `app` in this process, and stop what is mounted here and
        runs beside its requests; a later use starts them again.

        A server's end does this, else the exit of the process. Raises what the closings raise,
        several errors as one group.
        """
        try:
            if self._mounts is not None:
                self._mounts.close()
        finally:
            super().close()

    def run(
        self,
        host: str | None = None,
        port: int | None = None,
        debug: bool | None = None,
        load_dotenv: bool = True,
        **options: Any,
    ) -> None:
        """Serve on the development server; not for production. See `serve.dev.run`."""
        load = load_dotenv_files if get_load_dotenv(load_dotenv) else None
        dev.run(self, host, port, debug, load, **options)

    def test_client(self, use_cookies: bool = True, **kwargs: Any) -> FlaskClient:
        """A client that calls this application.

        `isolated=True`: its requests join no context. `edge="asgi"`: it calls by ASGI.
        """
        cls = self.test_client_class or FlaskClient
        return cls(self, self.response_class, use_cookies=use_cookies, **kwargs)

    def async_test_client(self, use_cookies: bool = True, **kwargs: Any) -> AsyncClient:
        """A client for async tests, which calls this application by ASGI; `isolated` as in
        `test_client`."""
        from .testing.async_client import AsyncClient  # loads asyncio

        return AsyncClient(self, self.response_class, use_cookies=use_cookies, **kwargs)

    def test_cli_runner(self, **kwargs: Any) -> FlaskCliRunner:
        """A runner that invokes this application's commands."""
        cls = self.test_cli_runner_class or FlaskCliRunner
        return cls(self, **kwargs)

    def test_request_context(self, *args: Any, **kwargs: Any) -> RequestContext:
        """A request context for a made-up request; the arguments are `EnvironBuilder`'s."""
        builder = EnvironBuilder(self, *args, **kwargs)
        try:
            return self.request_context(builder.get_environ())
        finally:
            builder.close()


Flask = Demijohn
"""The name under which an application written for Flask imports the class."""


class Blueprint(BlueprintBase):
    """A named part of an application; see `framework.blueprints.Blueprint` for the parameters."""

    def __init__(
        self,
        name: str,
        import_name: str,
        static_folder: str | os.PathLike[str] | None = None,
        static_url_path: str | None = None,
        template_folder: str | os.PathLike[str] | None = None,
        url_prefix: str | None = None,
        subdomain: str | None = None,
        url_defaults: dict[str, Any] | None = None,
        root_path: str | None = None,
        cli_group: str | None = _sentinel,
    ) -> None:
        super().__init__(
            name,
            import_name,
            static_folder,
            static_url_path,
            template_folder,
            url_prefix,
            subdomain,
            url_defaults,
            root_path,
            cli_group,
        )
        #: The commands of this blueprint.
        self.cli = AppGroup()
        self.cli.name = self.name

    def _default_context_processors(self) -> list[ft.TemplateContextProcessorCallable]:
        return [_default_template_ctx_processor]

    def get_send_file_max_age(self, filename: str | None) -> int | None:
        """Seconds that a client may keep a file; the current application's setting."""
        value = current_app.config["SEND_FILE_MAX_AGE_DEFAULT"]
        if isinstance(value, timedelta):
            return int(value.total_seconds())
        age: int | None = value
        return age

    def send_static_file(self, filename: str) -> Response:
        """The view of the blueprint's static route."""
        if not self.has_static_folder:
            raise RuntimeError("'static_folder' must be set to serve static_files.")
        assert self.static_folder is not None
        return send_from_directory(
            self.static_folder, filename, max_age=self.get_send_file_max_age(filename)
        )

    def open_resource(
        self, resource: str, mode: str = "rb", encoding: str | None = "utf-8"
    ) -> IO[AnyStr]:
        """Open a file below `root_path` for reading."""
        if mode not in {"r", "rt", "rb"}:
            raise ValueError("Resources can only be opened for reading.")
        path = os.path.join(self.root_path, resource)
        return open(path, mode, encoding=None if mode == "rb" else encoding)
