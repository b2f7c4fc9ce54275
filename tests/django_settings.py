"""The settings of the tests' Django, of which a process has one. Each site brings its own URLs.

application = django_settings.made_with(__name__, get_wsgi_application, "site.middleware")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import django
from django.conf import settings
from django.test import override_settings

T = TypeVar("T")

urlpatterns: list[Any] = []

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DEBUG_PROPAGATE_EXCEPTIONS=False,
        LOGGING_CONFIG=None,
        MIDDLEWARE=[],
        ROOT_URLCONF=__name__,
        SECRET_KEY="key",
        USE_TZ=True,
    )
    django.setup()


def made_with(module: str, make: Callable[[], T], *middleware: str) -> T:
    """What `make()` returns, serving the URLs of a module with its middleware, outermost first.

    The module has a middleware `at_home` for that; see `home`.
    """
    with override_settings(MIDDLEWARE=[f"{module}.at_home", *middleware]):
        return make()


def home(module: str) -> Any:
    """A middleware that takes each request to the URLs of a module, on both of Django's edges."""
    from django.utils.decorators import sync_and_async_middleware

    @sync_and_async_middleware
    def at_home(get_response: Any) -> Any:
        from asgiref.sync import iscoroutinefunction

        if iscoroutinefunction(get_response):

            async def wait(request: Any) -> Any:
                request.urlconf = module
                return await get_response(request)

            return wait

        def answer(request: Any) -> Any:
            request.urlconf = module
            return get_response(request)

        return answer

    return at_home
