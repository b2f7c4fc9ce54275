"""Jinja for an application: its environment, and the loader that looks in blueprints too.

Rendering, with its context processors and signals, is in `framework.templates`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from jinja2 import BaseLoader, TemplateNotFound
from jinja2 import Environment as JinjaEnvironment

from demijohn.http.template_debug import Attempt, explain

Source: TypeAlias = tuple[str, str | None, Callable[[], bool] | None]
"""What a Jinja loader finds: the text, its file name, and whether it is still up to date."""


class TemplateOwner(Protocol):
    """Who may bring templates: the application or a blueprint."""

    @property
    def import_name(self) -> str:
        """The module that made it."""
        ...

    @property
    def jinja_loader(self) -> BaseLoader | None:
        """The loader of its own templates, if it has any."""
        ...


class TemplatingApp(TemplateOwner, Protocol):
    """What templates need of an application."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Read for `EXPLAIN_TEMPLATE_LOADING` each time a template is loaded."""
        ...

    @property
    def logger(self) -> logging.Logger:
        """Where loading is explained."""
        ...

    def create_global_jinja_loader(self) -> BaseLoader:
        """Return the loader for all templates; asked once, when the environment is made."""
        ...

    def iter_blueprints(self) -> Iterable[TemplateOwner]:
        """Return the blueprints in the order of their registration."""
        ...


class Environment(JinjaEnvironment):
    """A Jinja environment that knows its application (`app`) and loads by way of it.

    The options are Jinja's; without `loader`, the application makes one.
    """

    def __init__(self, app: TemplatingApp, **options: Any) -> None:
        if "loader" not in options:
            options["loader"] = app.create_global_jinja_loader()
        super().__init__(**options)
        self.app = app


class DispatchingJinjaLoader(BaseLoader):
    """Looks for a template in the application's folder, then in those of its blueprints.

    Blueprints come in the order of their registration; the first match wins.
    """

    def __init__(self, app: TemplatingApp) -> None:
        self.app = app

    def get_source(self, environment: JinjaEnvironment, template: str) -> Source:
        """Return the first match; raises `TemplateNotFound` when there is none.

        With the setting `EXPLAIN_TEMPLATE_LOADING` every loader is asked, and the application's
        logger gets an account of it.
        """
        if self.app.config["EXPLAIN_TEMPLATE_LOADING"]:
            return self._get_source_explained(environment, template)
        return self._get_source_fast(environment, template)

    def list_templates(self) -> list[str]:
        """Return the names that any of the loaders offers, each once, in no certain order."""
        names: set[str] = set()
        for _owner, loader in self._owned_loaders():
            names.update(loader.list_templates())
        return list(names)

    def _request_blueprint(self) -> str | None:
        """Return the blueprint that answers the current request, for the account; a subclass that
        sees requests knows."""
        return None

    def _get_source_explained(self, environment: JinjaEnvironment, template: str) -> Source:
        attempts: list[Attempt] = []
        match: Source | None = None
        for owner, loader in self._iter_loaders(template):
            try:
                found = loader.get_source(environment, template)
            except TemplateNotFound:
                attempts.append(Attempt(loader, owner, None))
            else:
                attempts.append(Attempt(loader, owner, found[1] or "<string>"))
                if match is None:
                    match = found
        text = explain(self.app, template, attempts, self._request_blueprint())
        # The text is no format string, and tools that read `record.msg` see all of it.
        self.app.logger.info(text)
        if match is None:
            raise TemplateNotFound(template)
        return match

    def _get_source_fast(self, environment: JinjaEnvironment, template: str) -> Source:
        for _owner, loader in self._iter_loaders(template):
            try:
                return loader.get_source(environment, template)
            except TemplateNotFound:
                continue
        raise TemplateNotFound(template)

    def _iter_loaders(self, template: str) -> Iterator[tuple[TemplateOwner, BaseLoader]]:
        """Return the loaders to ask for a template, in order, each with whose it is."""
        return self._owned_loaders()

    def _owned_loaders(self) -> Iterator[tuple[TemplateOwner, BaseLoader]]:
        for owner in self._owners():
            # Read once: it may be a property that makes a loader at each read.
            loader = owner.jinja_loader
            if loader is not None:
                yield owner, loader

    def _owners(self) -> Iterator[TemplateOwner]:
        # The blueprints are asked for only when the application has no such template.
        yield self.app
        yield from self.app.iter_blueprints()
