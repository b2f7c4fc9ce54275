"""An example as plain data: what an application consists of, and the calls that it gets."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Part:
    """One registered thing: its source, and what is exercised once its name is in the log."""

    name: str
    lines: list[str]
    features: set[str]


@dataclass
class Scope:
    """The application, or a blueprint with where it is registered."""

    variable: str
    endpoint_prefix: str = ""
    url_prefix: str = ""
    host: str = ""
    """The subdomain, or with host matching the host, that its rules are for."""


@dataclass
class Target:
    """A rule that calls can aim at: its literal pieces and values that fit or do not."""

    scope: Scope
    endpoint: str
    rule: str
    good: list[str]
    """Paths that match."""
    bad: list[str]
    """Paths that look like it and do not match, or get redirected."""
    methods: list[str]
    values: dict[str, str] = field(default_factory=dict)
    """Values with which `url_for` builds it, as source."""
    features: set[str] = field(default_factory=set)
    hints: set[str] = field(default_factory=set)
    """Features of its view that want certain calls."""


@dataclass
class Call:
    """One request."""

    method: str = "GET"
    path: str = "/"
    """As PATH_INFO would be after decoding, in UTF-8."""
    query: str = ""
    host: str = "localhost"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    asked: list[str] = field(default_factory=list)
    """The names of parts that are to do what they do only when asked (raise, return early)."""
    carry: bool = True
    """Whether cookies that were set before are sent."""
    client: bool = False
    """Through the framework's test client, not as a server does."""
    ways: list[str] = field(default_factory=list)
    """What else the test client does: "transaction", "follow", "with"."""
    steps: int | None = None
    """After how many items of the body the server closes it."""
    wait: int = 0
    """Seconds that the clock goes on before the call."""
    environ: dict[str, str] = field(default_factory=dict)
    features: set[str] = field(default_factory=set)


@dataclass
class Example:
    """An application and its calls."""

    setup: list[str]
    """Source that makes the application, its blueprints and its settings."""
    parts: list[Part]
    closing: list[str]
    """Source that registers the blueprints."""
    calls: list[Call]
    features: set[str]
    """What is exercised without any call."""


@dataclass
class Outcome:
    """What one call showed."""

    status: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    error: str | None = None
    log: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
