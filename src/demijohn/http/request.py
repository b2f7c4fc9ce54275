"""The request: Werkzeug's, computed at first use, with Flask's attributes.

Its body and limits are in `body_request`, the reading of header names in `headers`.
"""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from functools import partial

from werkzeug.datastructures import Headers, ImmutableMultiDict, MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.sansio.http import parse_cookie
from werkzeug.sansio.request import Request as SansIORequest
from werkzeug.sansio.utils import get_content_length, get_host
from werkzeug.utils import cached_property
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wsgi import _get_server

from .body_request import BodyRequest
from .forms import parse_query
from .headers import RequestHeaders
from .lazy import lazy, relax, share

if t.TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from werkzeug.routing import Rule

# What Werkzeug's constructor computes and assigns.
_ASSIGNED: t.Final = (
    "method",
    "scheme",
    "server",
    "root_path",
    "path",
    "query_string",
    "headers",
    "remote_addr",
)
# What a body read in one go stands in for, and what says that a body is JSON.
_BODY: t.Final = (
    *("stream", "get_data", "_load_form_data", "_get_stream_for_parsing"),
    *("max_content_length", "_limit"),
)
_JSON: t.Final = ("is_json", "mimetype", "content_type", "_parse_content_type")
# Content types that are their own mimetype, so that nothing need be parsed.
_BARE: t.Final = frozenset(
    {
        "application/json",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "text/plain",
        "text/html",
    }
)
# Werkzeug's handler for decoding (its urls.py), which percent-encodes bytes that are no UTF-8.
_QUOTE: t.Final = "werkzeug.url_quote"
# What these names stand for on `Request`, once it is complete.
_original: t.Final[dict[str, t.Any]] = {}
# What the constructor sets, and stands on a class whose constructor is Werkzeug's.
_ROUTED: t.Final = {
    "url_rule": None,
    "view_args": None,
    "routing_exception": None,
    "_form_loaded": False,
    "_headers": None,
    "_stream": None,
}


_new_headers = RequestHeaders.__new__
R = t.TypeVar("R", bound="Request")


class Request(BodyRequest):
    """The request that Flask users know: Werkzeug's, with what routing found and the app's limits.

    Constructing it computes the method alone (Werkzeug's takes 1.2 us, this 0.19); every other
    attribute is made of the environ when it is first read. A subclass that replaces one of the
    attributes which Werkzeug's constructor assigns gets that constructor, and so exactly
    Werkzeug's behaviour.
    """

    # Set by the constructor: CPython 3.11 reaches an attribute ten times slower when its name
    # stands on the class too.
    #: The rule that matched; `None` before routing and when it failed.
    url_rule: Rule | None
    #: The values that the rule took from the URL; `None` when routing failed.
    view_args: dict[str, t.Any] | None
    #: What routing raised, to be raised when the request is dispatched.
    routing_exception: HTTPException | None

    _query_string: bytes | None = None
    _query_assigned: bytes | None = None
    # Whether this class leaves alone what the constructor goes round; see _note_overrides.
    _defers: bool

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        super().__init_subclass__(**kwargs)
        share(cls)
        cls._note_overrides()

    @classmethod
    def _note_overrides(cls) -> None:
        """Called for a new class, and when an attribute of it or of one above it is set."""
        if not _original:  # `Request` itself is not complete
            return

        def untouched(names: cabc.Iterable[str]) -> bool:
            return all(_way(cls, name) is _original[name] for name in names)

        inits = [base for base in cls.__mro__ if "__init__" in vars(base)]
        defers = (
            untouched(_ASSIGNED)
            and cls.__setattr__ is object.__setattr__
            # A class between this one and Werkzeug's would miss its turn in the chain.
            and inits[inits.index(Request) + 1] is WerkzeugRequest
        )
        put = partial(type.__setattr__, cls)  # without being told of it
        if not defers:
            for name, value in _ROUTED.items():
                if not hasattr(cls, name):
                    put(name, value)
        put("_defers", defers)
        put("_stock_body", defers and untouched(_BODY))
        put("_stock_json", defers and untouched(_JSON))

    if t.TYPE_CHECKING:
        method: str

    def __init__(
        self, environ: WSGIEnvironment, populate_request: bool = True, shallow: bool = False
    ) -> None:
        """`populate_request` puts the request into the environ as `werkzeug.request`; `shallow`
        makes reading the body raise `RuntimeError`, and leaves the environ alone."""
        if self._defers:
            fill(self, environ, shallow)
            if populate_request and not shallow:
                environ["werkzeug.request"] = self
        else:
            super().__init__(environ, populate_request, shallow)

    def __getstate__(self) -> dict[str, t.Any]:
        """For copies and pickles: with all that under Flask only the constructor computes."""
        assigned = {name: getattr(self, name) for name in _ASSIGNED}
        return {**vars(self), **assigned}

    def __setstate__(self, state: dict[str, t.Any]) -> None:
        vars(self).update({**_ROUTED, **state})

    # What Werkzeug's constructor computes

    @lazy
    def scheme(self) -> str:
        """The URL scheme, such as `https`."""
        return self.environ.get("wsgi.url_scheme", "http")  # type: ignore[no-any-return]

    @lazy
    def server(self) -> tuple[str, int | None] | None:
        """The server's `(host, port)`, `(path, None)` of a Unix socket, `None` if not known."""
        return _get_server(self.environ)

    @lazy
    def root_path(self) -> str:
        """Where the application is mounted, without a slash at the end."""
        return _decode(self.environ.get("SCRIPT_NAME") or "").rstrip("/")

    @lazy
    def path(self) -> str:
        """The path below `root_path`, decoded, with one slash at the front."""
        path: str = self.environ.get("PATH_INFO") or ""
        if not path.isascii():
            path = _decode(path)
        return "/" + path.lstrip("/")

    @property
    def query_string(self) -> bytes:
        """What follows the URL's question mark, as it was sent."""
        given = self._query_string
        if given is None:
            given = self._query_string = self.environ.get("QUERY_STRING", "").encode("latin1")
        return given

    @query_string.setter
    def query_string(self, value: bytes) -> None:
        # Past a subclass that watches assignments: it has seen this one.
        object.__setattr__(self, "_query_string", value)
        object.__setattr__(self, "_query_assigned", value)

    @property
    def headers(self) -> Headers:
        """The headers, read from the environ at each use."""
        found = self._headers
        if found is None:
            found = self._headers = made = _new_headers(RequestHeaders)
            made.environ = self.environ
        return found

    @headers.setter
    def headers(self, value: Headers) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        # Past a subclass that watches assignments: it has seen this one.
        object.__setattr__(self, "_headers", value)

    @lazy
    def remote_addr(self) -> str | None:
        """The client's address, as the server saw it."""
        return self.environ.get("REMOTE_ADDR")

    # What Werkzeug computes at first use, by a shorter way

    def _plain_headers(self) -> bool:
        """Whether the environ alone answers for the headers: neither a subclass nor an assignment
        has put something else in their place."""
        found = self._headers
        return self._defers and (found is None or type(found) is RequestHeaders)

    @lazy
    def args(self) -> MultiDict[str, str]:
        """The query string's parameters, in the `parameter_storage_class`. Bytes that are no UTF-8
        come out percent-encoded, whether they were sent so or as they are."""
        if self._defers and self._query_assigned is None:
            query: str = self.environ.get("QUERY_STRING", "")
            if not query.isascii():
                query = query.encode("latin1").decode(errors=_QUOTE)
        else:
            query = self.query_string.decode(errors=_QUOTE)
        return parse_query(query, self.parameter_storage_class)

    @lazy
    def full_path(self) -> str:
        """The path with the query string, and its question mark in any case."""
        return f"{self.path}?{self.query_string.decode(errors=_QUOTE)}"

    @lazy
    def cookies(self) -> ImmutableMultiDict[str, str]:
        """The cookies sent, in the `dict_storage_class`."""
        # getlist() goes through the whole environ, 2 us; an environ has one key for a header.
        if self._plain_headers() or type(self.headers) is RequestHeaders:
            text = self.environ.get("HTTP_COOKIE", "")
        else:
            text = ";".join(self.headers.getlist("Cookie"))
        return t.cast(
            "ImmutableMultiDict[str, str]", parse_cookie(text, cls=self.dict_storage_class)
        )

    @lazy
    def host(self) -> str:
        """The host asked for, with its port unless that is the scheme's own; held against
        `trusted_hosts`. Empty if none or not valid."""
        header = self.headers.get("Host")
        server = self.server if header is None else None  # looked at only without a header
        return readable_host(get_host(self.scheme, header, server, self.trusted_hosts))

    @lazy
    def content_length(self) -> int | None:
        """The body's length in bytes, 0 if the header is no plain number; `None` without the
        header and for a chunked body."""
        environ = self.environ
        if self._plain_headers() and "HTTP_TRANSFER_ENCODING" not in environ:
            length: str | None = environ.get("CONTENT_LENGTH")
            if length is None or _is_plain_number(length):
                return None if length is None else int(length)
        get = self.headers.get
        return get_content_length(get("Content-Length"), get("Transfer-Encoding"))

    @property
    def content_type(self) -> str | None:  # type: ignore[override]
        """The `Content-Type` header."""
        return self.headers.get("Content-Type")

    @property
    def mimetype(self) -> str:
        """The content type without its parameters, in small letters; empty without one."""
        content_type = self.content_type
        if content_type in _BARE:
            return content_type
        return super().mimetype

    # What routing found

    @property
    def endpoint(self) -> str | None:
        """The matched endpoint; `None` before routing and when it failed."""
        rule = self.url_rule
        return None if rule is None else rule.endpoint

    @property
    def blueprint(self) -> str | None:
        """The name under which the endpoint's blueprint is registered, with dots when nested."""
        endpoint = self.endpoint
        if endpoint is None or "." not in endpoint:
            return None
        return endpoint.rpartition(".")[0]

    @property
    def blueprints(self) -> list[str]:
        """The blueprint's name and those of the blueprints around it, innermost first."""
        name = self.blueprint
        if name is None:
            return []
        parts = name.split(".")
        return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _way(cls: type[Request], name: str) -> object:
    """What answers for an attribute: `share` changes how it is kept, not what it is."""
    member: t.Any = getattr(cls, name, None)
    return member.fget if isinstance(member, (lazy, cached_property)) else member


def fill(request: R, environ: WSGIEnvironment, shallow: bool) -> R:
    """Sets what `Request.__init__` sets on a new request whose class leaves that to it; by this
    way a request is made in half the time."""
    request.environ = environ
    request.shallow = shallow
    request.url_rule = request.view_args = request.routing_exception = None
    request._form_loaded = False
    request._headers = request._stream = None
    # Every request is asked for its method: computed here it costs less than when lazy.
    try:
        method = environ["REQUEST_METHOD"]
    except KeyError:
        method = "GET"
    request.method = method.upper()
    return request


def readable_host(host: str) -> str:
    """`host`, or an empty text, as for every host that is not valid, where it has a label that IDNA
    cannot decode: no URL could be made of it."""
    name = host.lower()
    if "xn--" in name:
        try:
            name.partition(":")[0].encode("ascii").decode("idna")
        except UnicodeDecodeError:
            pass  # Werkzeug keeps such a label as it is; CPython 3.13 raises nothing else.
        except UnicodeError:
            return ""
    return host


def _is_plain_number(text: str) -> bool:
    """Whether `text` is some digits, as HTTP has them, and nothing else."""
    return len(text) < 18 and text.isdecimal() and text.isascii()


def _decode(text: str) -> str:
    """A path's text: UTF-8 that PEP 3333 passes on as Latin-1."""
    return text.encode("latin1").decode(errors="replace")


relax(Request, WerkzeugRequest, SansIORequest)
_original.update({name: _way(Request, name) for name in (*_ASSIGNED, *_BODY, *_JSON)})
Request._note_overrides()
