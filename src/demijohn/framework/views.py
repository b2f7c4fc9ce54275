"""Class-based views: `View`, one method for a route, and `MethodView`, one for each HTTP method.

How a view function gets to a route, and how a request gets to it, is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from demijohn.framework.globals import current_app, request

if TYPE_CHECKING:
    from demijohn.typing import ResponseReturnValue, RouteCallable

http_method_funcs: Final = frozenset(
    {"get", "post", "head", "options", "delete", "put", "trace", "patch"}
)
"""The names of methods that make a `MethodView` accept the HTTP method of that name."""


class View:
    """A view as a class: override `dispatch_request`, and register what `as_view` returns.

    `app.add_url_rule("/hello/<name>", view_func=Hello.as_view("hello"))`
    """

    methods: ClassVar[Collection[str] | None] = None
    """The HTTP methods of the route; None leaves it to `add_url_rule` (GET, HEAD, OPTIONS)."""

    provide_automatic_options: ClassVar[bool | None] = None
    """Whether OPTIONS is answered without the view; None leaves it to `add_url_rule`."""

    decorators: ClassVar[list[Callable[..., Any]]] = []
    """Applied to the function that `as_view` makes, the first one innermost. Decorators of the
    class itself do not reach that function."""

    init_every_request: ClassVar[bool] = True
    """Whether each request gets an instance of its own. With False all share one, made by
    `as_view`: cheaper, but `self` is then no place for what belongs to a request."""

    def dispatch_request(self) -> ResponseReturnValue:
        """Answer the request. The URL's variables come as keyword arguments."""
        raise NotImplementedError()

    @classmethod
    def as_view(cls, name: str, *class_args: Any, **class_kwargs: Any) -> RouteCallable:
        """Return a view function, called `name`, that answers with an instance of this class.

        The other arguments go to the class. The function has the class as `view_class`; assigning
        another there makes later requests use it (not with `init_every_request = False`).
        """
        # `view` names the decorated function from the loop on, and so does the inner function's
        # `view.view_class`: whoever swaps the class does it on the function that is registered.
        view: Any
        if cls.init_every_request:

            def view_of_new(**kwargs: Any) -> ResponseReturnValue:
                instance = view.view_class(*class_args, **class_kwargs)
                answer: ResponseReturnValue = current_app.ensure_sync(instance.dispatch_request)(
                    **kwargs
                )
                return answer

            view = view_of_new
        else:
            shared = cls(*class_args, **class_kwargs)

            def view_of_shared(**kwargs: Any) -> ResponseReturnValue:
                answer: ResponseReturnValue = current_app.ensure_sync(shared.dispatch_request)(
                    **kwargs
                )
                return answer

            view = view_of_shared

        # Set before the decorators, which may copy or show them, and again on what they return.
        view.__name__ = name
        view.__module__ = cls.__module__
        for decorator in cls.decorators or ():
            view = decorator(view)
        view.view_class = cls
        view.__name__ = name
        view.__doc__ = cls.__doc__
        view.__module__ = cls.__module__
        view.methods = cls.methods
        view.provide_automatic_options = cls.provide_automatic_options
        return cast("RouteCallable", view)


class MethodView(View):
    """A view whose methods `get`, `post`, ... answer the HTTP methods of these names.

    `methods` follows from the methods that the class and its bases have, unless the class sets
    it. A HEAD request without `head` goes to `get`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "methods" in cls.__dict__:
            return
        methods = {name.upper() for name in http_method_funcs if hasattr(cls, name)}
        for base in cls.__bases__:
            methods.update(getattr(base, "methods", None) or ())
        if methods:
            cls.methods = methods

    def dispatch_request(self, **kwargs: Any) -> ResponseReturnValue:
        """Call the method that the request's HTTP method names.

        Raises `AssertionError` when there is none, which takes a route with more methods than
        the class has.
        """
        name = request.method
        method = getattr(self, name.lower(), None)
        if method is None and name == "HEAD":
            method = getattr(self, "get", None)
        if method is None:
            raise AssertionError(f"Unimplemented method {name!r}")
        answer: ResponseReturnValue = current_app.ensure_sync(method)(**kwargs)
        return answer
