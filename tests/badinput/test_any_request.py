"""Requests of any text: whatever a server may hand on is answered as by Flask, or better."""

from __future__ import annotations

import re
from typing import Any

import flask
import pytest
from badinput_kit import make_site
from edges import called
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.test import create_environ, run_wsgi_app

import demijohn

# No server hands on an end of line that was not encoded: it would have ended the line.
latin = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=12)
hosts = st.one_of(
    st.text("ab.-:@/[]%_\\ ,0189x\xe4\x00", max_size=12),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "xn--", "a.xn--", "[", "user@", "XN--"]),
        st.text("ab-0.\x7f", max_size=6),
        st.sampled_from(["", ":80", ":5000", ":0", ":99999", "]", "]:1", ".", "/x"]),
    ),
    latin,
)
paths = st.one_of(
    st.text("/.a\\%:?#\x00\n\xff", max_size=10).map(lambda text: "/" + text),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["/text/", "/path/", "/folder/", "//folder/", "/number/", "/arg", ""]),
        latin,
        st.sampled_from(["", "/", "//", "/d"]),
    ),
)
queries = latin | st.text("a=&%+;1\xe4\x00", max_size=12)
cookies = latin | st.text('session=.;"\\ ,a\x00', max_size=14)


@pytest.fixture(scope="module")
def sites() -> tuple[Any, Any]:
    """The site here and on Flask."""
    return make_site(demijohn), make_site(flask)


def ask(app: Any, changes: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
    body, status, headers = run_wsgi_app(
        called(app), {**create_environ(), **changes}, buffered=True
    )
    return int(status.split()[0]), list(headers), b"".join(body)


@settings(max_examples=400, deadline=None)
@given(
    changes=st.fixed_dictionaries(
        {"PATH_INFO": paths},
        optional={
            "HTTP_HOST": hosts,
            "QUERY_STRING": queries,
            "HTTP_COOKIE": cookies,
            "REQUEST_METHOD": st.sampled_from(
                ["GET", "HEAD", "POST", "OPTIONS", "get", "\x00", ""]
            ),
            "SCRIPT_NAME": st.sampled_from(["", "/app", "//app", "app", "/\xff"]),
            "wsgi.url_scheme": st.sampled_from(["http", "https"]),
            "HTTP_REFERER": latin,
            "CONTENT_TYPE": latin,
            # Over ASGI several lengths that disagree are refused by the edge.
            "CONTENT_LENGTH": latin.filter(
                lambda text: not re.fullmatch(r"[\d\s]+(,[\d\s]+)+", text)
            ),
        },
    )
)
@example({"PATH_INFO": "/", "HTTP_HOST": "xn--a"})
@example({"PATH_INFO": "/folder/x", "HTTP_HOST": "a_b"})
@example({"PATH_INFO": "/folder/x", "HTTP_HOST": "a..b"})
@example({"PATH_INFO": "/folder/x", "HTTP_HOST": "a.com", "QUERY_STRING": "\x01\x1b"})
@example({"PATH_INFO": "/text/\x00", "HTTP_HOST": "a.com"})
def test_any_request_is_answered(sites: tuple[Any, Any], changes: dict[str, str]) -> None:
    """The answer is Flask's, but never a 500, and a redirect never one without a host."""
    ours, theirs = sites
    mine, other = ask(ours, changes), ask(theirs, changes)
    ours.ledger.check()
    location = dict(other[1]).get("Location", "")
    if other[0] == 500:
        assert mine[0] in (200, 308, 400, 404, 405)
    elif ":///" in location:
        assert dict(mine[1])["Location"] == "/" + location.partition(":///")[2].lstrip("/")
    else:
        assert mine == other
    assert mine[0] < 500
