"""A Django project whose views use an application of this package; `application` is its WSGI side.

Which requests meet where is decided by `meet`, which the tests replace.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import django_settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

import demijohn
from demijohn import ContextField, app_ctx, current_app, g, has_request_context, url_for

at_home = django_settings.home(__name__)

number = ContextField("number", default=-1, carries=True)

shop = demijohn.Demijohn("shop", static_folder=None)
shop.config["SERVER_NAME"] = "shop.example"
shop.log = log = []  # type: ignore[attr-defined]


@shop.get("/orders/<int:id>")
def order(id: int) -> dict[str, Any]:
    return {"order": id, "user": g.get("user")}


@shop.teardown_appcontext
def note(exc: BaseException | None) -> None:
    log.append((g.get("user"), app_ctx.outcome, type(exc).__name__))


def nobody() -> None:
    """Wait for no other request."""


class Meeting:
    """Where requests wait for each other."""

    at: Callable[[], object] = staticmethod(nobody)


def watching(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    def middleware(request: HttpRequest) -> HttpResponse:
        assert "user" not in g and number.get() == -1
        g.user = request.GET.get("user")
        number.set(int(request.GET.get("number", 0)))
        if "refuse" in request.GET:
            raise PermissionError("refused by the middleware")
        response = get_response(request)
        response["X-User"] = str(g.user)
        return response

    return middleware


def show(request: HttpRequest) -> HttpResponse:
    Meeting.at()
    return JsonResponse(
        {
            "app": current_app.name,
            "user": g.user,
            "number": number.get(),
            "url": url_for("order", id=number.get()),
            "request": has_request_context(),
        }
    )


def stream(request: HttpRequest) -> StreamingHttpResponse:
    mine = app_ctx._get_current_object()  # type: ignore[attr-defined]

    def steps() -> Iterator[str]:
        try:
            for step in range(int(request.GET.get("steps", 3))):
                Meeting.at()
                assert app_ctx == mine and not mine.ended
                yield f"{g.user} {number.get()} {step}\n"
            if "fail" in request.GET:
                raise LookupError("in the body")
        finally:
            log.append((g.user, "closed", ""))

    return StreamingHttpResponse(steps())


def fail(request: HttpRequest) -> HttpResponse:
    raise LookupError("in the view")


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(b"content"))


def inner(request: HttpRequest) -> HttpResponse:
    with shop.test_client() as client:
        found = client.get("/orders/3", base_url="http://shop.example").json
    return JsonResponse({"inner": found, "user": g.user})


urlpatterns = [path(f"{view.__name__}/", view) for view in (show, stream, fail, file, inner)]

application = django_settings.made_with(
    __name__, get_wsgi_application, f"{__name__}.{watching.__name__}"
)
