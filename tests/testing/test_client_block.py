"""`with client:` keeps the last request, and errors of teardown functions reach the test."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest
from client_site import BOTH, make_site

import demijohn
from demijohn import g, has_app_context, has_request_context, request


@BOTH
def test_a_block_keeps_the_last_request(fw: Any) -> None:
    """In `with client:` the last request's `request`, `session` and `g` can be read, until the
    block's end.
    """
    app = make_site(fw)
    with app.test_client() as client:
        client.post("/session", data={"a": "b"})
        assert fw.request.path == "/session"
        assert fw.session == {"a": "b"}
        client.get("/user?set=x")
        assert (fw.request.path, fw.g.user) == ("/user", "x")
        assert fw.current_app._get_current_object() is app
    assert not fw.has_request_context()
    assert not fw.has_app_context()


@BOTH
def test_a_block_before_the_first_request(fw: Any) -> None:
    """`with client:` alone makes no context current."""
    with make_site(fw).test_client():
        assert not fw.has_app_context()


@BOTH
def test_a_kept_request_ends_once_more(fw: Any) -> None:
    """What a block keeps is a unit with an end of its own: at the next request, or the block's
    end.
    """
    app = make_site(fw)
    first = ["request /user None", "app a None"]
    second = ["request /user None", "app b None"]
    with app.test_client() as client:
        client.get("/user?set=a")
        assert app.log == first
        client.get("/user?set=b")
        assert app.log == first + first + second
    assert app.log == first + first + second + second


@BOTH
def test_a_kept_request_ends_with_the_blocks_exception(fw: Any) -> None:
    """A block that is left by an exception ends what it kept, as any other."""
    app = make_site(fw)
    with pytest.raises(KeyError), app.test_client() as client:
        client.get("/user?set=a")
        raise KeyError
    assert len(app.log) == 4
    assert not fw.has_app_context()


@BOTH
def test_a_kept_request_under_the_tests_app_context(fw: Any) -> None:
    """Where the request joined the test's app context, the block keeps the request; that context is
    the test's.
    """
    app = make_site(fw)
    with app.app_context():
        with app.test_client() as client:
            client.get("/user?set=a")
            assert fw.request.path == "/user"
        assert not fw.has_request_context()
        assert fw.g.user == "a"
        assert app.log == ["request /user None"] * 2
    assert app.log == ["request /user None"] * 2 + ["app a None"]


@BOTH
def test_what_is_written_in_the_block_stays(fw: Any) -> None:
    """In the block `g` and the session can be written, and read back; the client's cookie is not
    changed.
    """
    app = make_site(fw)
    with app.test_client() as client:
        client.post("/session", data={"a": "b"})
        fw.g.user = "block's"
        fw.session["c"] = "d"
        assert (fw.g.user, fw.session["c"]) == ("block's", "d")
        assert client.get("/session").json == {"a": "b"}


@BOTH
def test_urls_can_be_built_in_the_block(fw: Any) -> None:
    """`url_for` works in the block, relative to the last request."""
    app = make_site(fw)
    with app.test_client() as client:
        client.get("/user", base_url="http://own.test/")
        assert fw.url_for("index", _external=True) == "http://own.test/"


@BOTH
def test_nested_invocations_are_refused(fw: Any) -> None:
    """A client's block cannot be entered twice at once, but again and again."""
    app = make_site(fw)
    client = app.test_client()
    with client:
        with pytest.raises(RuntimeError, match="Cannot nest client invocations"), client:
            pass
        client.get("/user?set=a")
        assert fw.g.user == "a"
    for _ in range(2):
        with client:
            client.get("/user")
            assert fw.request.path == "/user"
    assert not fw.has_app_context()


@BOTH
def test_a_client_after_its_block(fw: Any) -> None:
    """After its block a client works on, and keeps nothing."""
    app = make_site(fw)
    with app.test_client() as client:
        client.post("/session", data={"a": "b"})
    assert client.get("/session").json == {"a": "b"}
    assert not fw.has_request_context()


@BOTH
def test_two_clients(fw: Any) -> None:
    """Blocks of two clients nest; the inner one's request is the current one until its end."""
    app = make_site(fw)
    with app.test_client() as first:
        first.get("/user?set=first")
        with app.test_client(use_cookies=False) as second:
            second.get("/session")
            assert fw.request.path == "/session"
        assert (fw.request.path, fw.g.user) == ("/user", "first")


@BOTH
def test_a_client_without_a_block_inside_anothers(fw: Any) -> None:
    """A client without a block leaves what another's block keeps alone."""
    app = make_site(fw)
    with app.test_client() as first:
        first.get("/user?set=first")
        app.test_client().get("/session")
        assert (fw.request.path, fw.g.user) == ("/user", "first")


def test_two_clients_by_turns() -> None:
    """A client whose kept request another client's lies on is refused its next call, and the blocks
    end cleanly.
    """
    app = make_site()
    with app.test_client() as first:
        with app.test_client() as second:
            first.get("/user?set=first")
            second.get("/session")
            with pytest.raises(RuntimeError, match="Popped wrong"):
                first.get("/")
            assert request.path == "/session"
        assert request.path == "/user"
        first.get("/")
        assert request.path == "/"
    assert not has_app_context()


@BOTH
def test_a_stream_in_a_block(fw: Any) -> None:
    """A streamed answer can be read in the block, which keeps its request before, while and after
    that.
    """
    app = make_site(fw)
    with app.test_client() as client:
        response = client.get("/stream")
        assert (fw.request.path, fw.g.user) == ("/stream", "streamer")
        assert response.text == "/stream0;/stream1;"
        assert (fw.request.path, fw.g.user) == ("/stream", "streamer")
        fw.session["a"] = "b"
        fw.g.user = "block's"
    assert not fw.has_app_context()


@pytest.mark.parametrize("read", ["inside", "closed", "outside", "never", "buffered"])
def test_a_stream_in_a_block_ends(read: str) -> None:
    """A streamed request ends once, after its last byte; when that is in the block, its successor
    ends after.
    """
    app = make_site()
    with app.test_client() as client:
        response = client.get("/stream", buffered=read == "buffered")
        if read == "inside":
            assert response.data
        elif read == "closed":
            response.close()
        assert len(app.log) == (0 if read in {"outside", "never"} else 2)
    if read == "outside":
        assert response.text == "/stream0;/stream1;"
    response.close()
    del response
    once = ["request /stream None", "app streamer None"]
    assert app.log == once * (1 if read in {"outside", "never"} else 2)
    assert not has_app_context()


def test_a_stream_read_on_another_thread() -> None:
    """A stream of a block that is read on another thread ends there; the block's end is clean all
    the same.
    """
    app = make_site()
    with app.test_client() as client:
        response = client.get("/stream")
        texts: list[str] = []
        thread = threading.Thread(target=lambda: texts.append(response.text))
        thread.start()
        thread.join()
        assert texts == ["/stream0;/stream1;"]
        assert request.path == "/stream"
    assert not has_app_context()


def test_a_stream_read_in_a_task() -> None:
    """A stream of a block that is read in an asyncio task is read, and the block's end is clean."""
    app = make_site()

    async def read(response: Any) -> str:
        return str(response.text)

    with app.test_client() as client:
        assert asyncio.run(read(client.get("/stream"))) == "/stream0;/stream1;"
        assert request.path == "/stream"
    assert not has_app_context()


def test_a_stream_read_under_another_request() -> None:
    """A stream that is read when the block keeps another request already changes nothing for
    that.
    """
    app = make_site()
    with app.test_client() as client:
        response = client.get("/stream")
        client.get("/user?set=a")
        assert response.text == "/stream0;/stream1;"
        assert (request.path, g.user) == ("/user", "a")


@BOTH
def test_redirects_in_a_block(fw: Any) -> None:
    """After redirects the block keeps the last request."""
    app = make_site(fw)
    with app.test_client() as client:
        response = client.get("/redirect", follow_redirects=True)
        assert response.text == "nobody"
        assert [r.request.path for r in response.history] == ["/redirect"]
        assert (fw.request.path, fw.g.user) == ("/user", "final")
    assert not fw.has_app_context()
    first, last = (
        ["request /redirect None", "app redirected None"],
        ["request /user None", "app final None"],
    )
    assert app.log == first + last + last + first


@BOTH
def test_an_exception_in_a_block(fw: Any) -> None:
    """A request whose exception reaches the test leaves nothing current, and the client works
    on.
    """
    app = make_site(fw, TESTING=True)
    with app.test_client() as client:
        with pytest.raises(LookupError):
            client.get("/fail")
        assert not fw.has_request_context()
        assert not fw.has_app_context()
        client.get("/user?set=a")
        assert (fw.request.path, fw.g.user) == ("/user", "a")
    assert not fw.has_app_context()


def test_a_request_that_failed_is_not_kept() -> None:
    """A request whose exception reached the test has had its one end; the block keeps no successor
    of it.
    """
    app = make_site(TESTING=True)
    with app.test_client() as client:
        with pytest.raises(LookupError):
            client.get("/fail")
        ends = ["request /fail LookupError('view')", "app failed LookupError('view')"]
        assert app.log == ends
        client.get("/")
    assert app.log == ends + ["request / None", "app None None"] * 2


@BOTH
def test_an_answered_error_in_a_block(fw: Any) -> None:
    """A request that became a 500 is kept as any other."""
    app = make_site(fw)
    with app.test_client() as client:
        assert client.get("/fail").status_code == 500
        assert fw.request.path == "/fail"


@BOTH
def test_a_404_in_a_block(fw: Any) -> None:
    """A request that matched nothing is kept too."""
    app = make_site(fw)
    with app.test_client() as client:
        assert client.get("/missing").status_code == 404
        assert fw.request.path == "/missing"
        assert fw.request.url_rule is None


def test_a_kept_request_is_released() -> None:
    """After the block neither the client nor its last answer keeps the request's `g` alive."""
    app = make_site()

    class Thing:
        pass

    with app.test_client() as client:
        client.get("/user")
        thing = g.thing = Thing()
    kept = weakref.ref(thing)
    del thing
    gc.collect()
    assert kept() is None


# -- errors of teardown functions ------------------------------------------------------------------


def with_failing_teardown(fw: Any, *errors: Exception, **config: Any) -> Any:
    app = make_site(fw, **config)
    for error in errors:

        def fail(exc: BaseException | None, error: Exception = error) -> None:
            raise error

        app.teardown_request(fail)
    return app


@BOTH
@pytest.mark.parametrize("path", ["/", "/user"])
def test_an_error_of_teardown_is_the_tests(fw: Any, path: str) -> None:
    """In testing, a teardown function's error is raised from the call."""
    app = with_failing_teardown(fw, ValueError("teardown"), TESTING=True)
    with pytest.raises(ValueError, match="teardown"):
        app.test_client().get(path)
    assert not has_app_context()


def test_all_errors_of_teardown_are_the_tests() -> None:
    """Several errors of teardown functions come as one group, after all functions ran."""
    app = with_failing_teardown(demijohn, ValueError(1), KeyError(2), TESTING=True)
    with pytest.raises(ExceptionGroup) as caught:
        app.test_client().get("/")
    assert [type(error) for error in caught.value.exceptions] == [KeyError, ValueError]
    assert app.log == ["request / None", "app None None"]


def test_an_error_of_teardown_of_a_stream() -> None:
    """A streamed answer brings the teardown's error when it is read to its end."""
    app = with_failing_teardown(demijohn, ValueError("teardown"), TESTING=True)
    response = app.test_client().get("/stream")
    with pytest.raises(ValueError, match="teardown"):
        response.get_data()
    with pytest.raises(ValueError, match="teardown"):
        app.test_client().get("/stream", buffered=True)


def test_an_error_of_teardown_outside_testing() -> None:
    """Where exceptions do not propagate, a teardown function's error is logged and the answer is
    returned.
    """
    app = with_failing_teardown(demijohn, ValueError("teardown"))
    assert app.test_client().get("/").text == "index"


def test_an_error_of_the_view_and_of_teardown() -> None:
    """In testing, the view's error is not lost when a teardown function fails as well."""
    app = with_failing_teardown(demijohn, ValueError("teardown"), TESTING=True)
    with pytest.raises((LookupError, ValueError, ExceptionGroup)) as caught:
        app.test_client().get("/fail")
    error: BaseException | None = caught.value
    found = list(error.exceptions) if isinstance(error, ExceptionGroup) else []
    while error is not None:
        found.append(error)
        error = error.__context__
    assert {LookupError, ValueError} <= {type(error) for error in found}


def test_an_error_of_teardown_at_a_blocks_end() -> None:
    """A teardown error of what a block kept is raised at the block's end, and nothing stays
    current.
    """
    app = make_site(TESTING=True)
    failing: list[bool] = []

    @app.teardown_request
    def fail(exc: BaseException | None) -> None:
        if failing:
            raise ValueError("teardown")

    with pytest.raises(ValueError, match="teardown"), app.test_client() as client:
        client.get("/")
        failing.append(True)
    assert not has_app_context()
    assert not has_request_context()
    failing.clear()
    assert client.get("/").text == "index"
