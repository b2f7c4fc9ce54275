"""A Django project to mount, by WSGI and by ASGI; what its views do is in `mounted_apps`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import django_settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path, reverse
from django.views.decorators.csrf import csrf_exempt

from demijohn import has_app_context, has_request_context

PARTS = ("one\n", "two\n", "three\n")
at_home = django_settings.home(__name__)


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("index")


def where(request: HttpRequest, rest: str) -> HttpResponse:
    return JsonResponse(
        {
            "root": request.META["SCRIPT_NAME"],
            "rest": rest,
            "q": request.GET.get("q"),
            "url": reverse("where", args=["x"]),
            "forwarded": request.headers.get("X-Forwarded-User"),
            "contexts": has_app_context() or has_request_context(),
        }
    )


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"length": len(request.body), "type": request.content_type})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def later() -> AsyncIterator[str]:
        for part in PARTS:
            await asyncio.sleep(0)
            yield part

    def now() -> Iterator[str]:
        yield from PARTS

    by_asgi = hasattr(request, "scope")
    return StreamingHttpResponse(later() if by_asgi else now(), content_type="text/plain")


def fail(request: HttpRequest) -> HttpResponse:
    raise LookupError("in the view")


def cookie(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(request.COOKIES.get("given", "none"))
    response.set_cookie("given", "by the site", path="/")
    response.set_cookie("second", "2")
    return response


urlpatterns: list[Any] = [
    path("", index),
    re_path("^where/(?P<rest>.*)$", where, name="where"),
    *(path(view.__name__, view) for view in (echo, stream, fail, cookie)),
]

by_wsgi = django_settings.made_with(__name__, get_wsgi_application)
by_asgi = django_settings.made_with(__name__, get_asgi_application)
