"""What a view, a hook or a handler answers with: source by feature, in several variants.

A variant is source to which `NAME` (of the function), `LINK` (arguments of `url_for`) and `ROOT`
(the folder of files) are given. It ends with a return or a raise.
"""

from __future__ import annotations

_STEPS = """
def items():
    log("NAME step 1")
    yield {first}
    log("NAME step 2")
    {middle}
    yield {last}
    log("NAME steps done")
"""


def _stream(returned: str, first: str = '"one"', last: str = '"two"', middle: str = "pass") -> str:
    return _STEPS.format(first=first, middle=middle, last=last).strip() + "\nreturn " + returned


ANSWERS: dict[str, tuple[str, ...]] = {
    "return: str": ('return "text"', 'return ""', 'return "é ü <&>"', 'return Markup("<b>b</b>")'),
    "return: bytes": ('return b"bytes"', 'return b"\\xff\\x00"', 'return bytearray(b"array")'),
    "return: dict": (
        'return {"b": 1, "a": [1, 2.5, None, True], "é": "ü"}',
        "return {}",
        'return {"when": datetime.date(2024, 5, 1), "id": uuid.UUID(int=7)}',
        'return {"at": datetime.datetime(2024, 5, 1, 12), "sum": decimal.Decimal("1.50")}',
        'return {"html": Markup("<b>"), "data": Point(1, 2)}',
        'return {1: "one", "two": 2}',
    ),
    "return: list": ('return [1, "two", {"three": 3}]', "return []", "return [Point(1, 2)]"),
    "return: JSON that cannot be written": (
        'return {"bad": object()}',
        'return [float("nan"), {1, 2}]',
        'return flask.jsonify(bad=b"bytes")',
    ),
    "return: tuple with status": (
        'return "made", 201',
        'return "odd", "299 Odd thing"',
        'return {"error": "no"}, 400',
        'return "", 204',
        'return b"", 304',
        'return [1], "202"',
        'return "text", http.HTTPStatus.ACCEPTED',
    ),
    "return: tuple with headers": (
        'return "text", {"X-One": "1", "Content-Type": "text/plain"}',
        'return "text", [("X-Two", "a"), ("X-Two", "b")]',
        'return {"a": 1}, {"X-One": "é"}',
        'return flask.Response("r", headers={"X-One": "0"}), {"X-One": "1"}',
    ),
    "return: tuple with status and headers": (
        'return "text", 202, {"X-One": "1"}',
        'return {"a": 1}, "404 Gone fishing", [("X-Two", "a")]',
        'return flask.Response("r", 201), 203, {"X-One": "1"}',
        'return "text", 200, {"Content-Length": "4", "X-List": ["a", "b"]}',
        "return None, 200, {}",
    ),
    "return: tuple of a wrong shape": (
        'return ("alone",)',
        'return "a", 200, {}, "more"',
        "return ()",
        'return "text", object()',
        'return "text", None, {"X-One": "1"}',
    ),
    "return: Response": (
        'return flask.Response("r")',
        'return flask.Response(b"r", status=202, mimetype="text/x-own")',
        'return flask.Response(["a", "b"], headers={"X-One": "1"})',
        'return flask.Response(status="299 Odd")',
        'return flask.Response("r", content_type="application/json; charset=latin-1")',
        'return flask.Response("gone", 204, {"X-One": "1"})',
        'return flask.Response("r", direct_passthrough=True)',
    ),
    "return: Response of Werkzeug": (
        'return werkzeug.wrappers.Response("w", 201)',
        'return OwnResponse("own")',
        'return OwnResponse(["a", "b"], headers={"X-One": "1"}), 202',
    ),
    "return: WSGI application": (
        'return wsgi_answer("200 OK", [("X-Wsgi", "1")], [b"w", b"sgi"])',
        'return wsgi_answer("404 Nothing", [("Content-Length", "2")], [b"no"]), 203',
        'return werkzeug.exceptions.Gone("gone by return")',
        "return werkzeug.exceptions.MethodNotAllowed(['GET', 'PUT'])",
        'raise_in_wsgi = wsgi_answer("200 OK", [], None)\nreturn raise_in_wsgi',
    ),
    "return: None": ("return None", "pass"),
    "return: a wrong type": (
        "return 7",
        "return object()",
        "return {1, 2}",
        "return lambda: None",
        "return str",
    ),
    "return: generator": (
        _stream("items()"),
        _stream("flask.Response(items(), mimetype='text/csv')"),
        _stream("items(), 201, {'X-One': '1'}", first="b'one'", last="b''"),
        _stream("flask.Response(items(), headers={'Content-Length': '6'})"),
    ),
    "return: stream_with_context": (
        _stream("flask.stream_with_context(items())", last="flask.request.method"),
        _stream("flask.Response(flask.stream_with_context(items()))", last="str(sorted(flask.g))"),
        _stream("flask.stream_with_context(items)()", last="flask.request.path"),
        _stream("flask.stream_with_context(items()), 202", last="flask.url_for(LINK)"),
    ),
    "return: stream that raises": (
        _stream("items()", middle='raise Oops("NAME step")'),
        _stream("flask.stream_with_context(items())", middle='raise Oops("NAME step")'),
        _stream("flask.stream_with_context(items())", middle="flask.abort(403)"),
        _stream("flask.Response(items())", last="7"),
    ),
    "return: stream with a close": (
        _stream("flask.Response(Closing('NAME', items()))"),
        "return flask.Response(Closing('NAME', ['a', 'b']))",
        "response = flask.Response(['a'])\n"
        "response.call_on_close(lambda: log('NAME on close'))\nreturn response",
        "response = flask.Response(Closing('NAME', ['a', 'b']))\n"
        "response.call_on_close(lambda: log('NAME on close'))\nreturn response, 201",
    ),
    "return: jsonify": (
        'return flask.jsonify({"a": 1})',
        "return flask.jsonify(1, 2)",
        "return flask.jsonify(a=1, b=[2])",
        "return flask.jsonify(1, b=2)",
        "return flask.jsonify(), 201",
        'return flask.jsonify("text")',
        "return flask.current_app.json.response(when=datetime.date(2024, 5, 1))",
    ),
    "return: make_response": (
        'response = flask.make_response("made", 201)\nresponse.headers["X-One"] = "1"\n'
        "return response",
        'return flask.make_response(("t", 202, {"X-One": "1"}))',
        "return flask.make_response()",
        'return flask.make_response({"a": 1}), {"X-Two": "2"}',
        "return flask.make_response(None)",
    ),
    "return: cookies": (
        'response = flask.Response("c")\nresponse.set_cookie("own", "v é", max_age=60, path="/")\n'
        'response.delete_cookie("other")\nreturn response',
        'response = flask.Response("c")\nresponse.set_cookie("own", "v", httponly=True, '
        'samesite="Lax", secure=True, domain="localhost")\nreturn response',
        'response = flask.Response("c")\nresponse.set_cookie("large", "v" * 5000)\nreturn response',
    ),
    "return: conditional response": (
        'response = flask.Response("etag")\nresponse.add_etag()\n'
        "return response.make_conditional(flask.request)",
        'response = flask.Response("etag " * 9)\nresponse.set_etag("own", weak=True)\n'
        "response.last_modified = datetime.datetime(2024, 5, 1, tzinfo=datetime.timezone.utc)\n"
        "response.cache_control.max_age = 60\n"
        "return response.make_conditional(flask.request, accept_ranges=True, complete_length=45)",
        'response = flask.Response("vary")\nresponse.vary.add("Accept")\n'
        'response.vary.add("Cookie")\nreturn response',
    ),
    "return: redirect": (
        'return flask.redirect("/elsewhere")',
        'return flask.redirect("https://example.org/é?a=b c", 301)',
        'return flask.redirect("../up", code=303)',
        'return flask.redirect("/", 307, OwnResponse)',
        'return flask.redirect("/", 308)',
        "return flask.redirect(flask.url_for(LINK))",
        'return flask.redirect("/", 200)',
    ),
    "raise: abort": (
        "flask.abort(404)",
        'flask.abort(403, "not for you <b>")',
        "flask.abort(405, valid_methods=['GET', 'PUT'])",
        'flask.abort(flask.Response("own", 402))',
        "flask.abort(401, www_authenticate=WWWAuthenticate('basic', {'realm': 'r'}))",
        "flask.abort(500)",
        'flask.abort(400, description="bad")',
        "flask.abort(429, retry_after=10)",
        "flask.abort(http.HTTPStatus.GONE)",
    ),
    "raise: abort with a wrong code": ("flask.abort(200)", "flask.abort(999)"),
    "raise: HTTPException": (
        'raise werkzeug.exceptions.NotFound("raised")',
        'raise werkzeug.exceptions.BadRequestKeyError("key")',
        'raise Teapot("short and stout")',
        "raise werkzeug.exceptions.RequestedRangeNotSatisfiable(length=7)",
        "raise werkzeug.exceptions.InternalServerError(original_exception=KeyError('k'))",
        'raise werkzeug.exceptions.Unauthorized(response=flask.Response("own", 401))',
        'raise RequestRedirect("/over/there")',
        "raise werkzeug.exceptions.HTTPException()",
    ),
    "raise: exception": (
        'raise Oops("NAME")',
        'raise Worse("NAME")',
        'raise KeyError("NAME")',
        "raise ValueError('NAME') from Oops('cause')",
        "return 1 / 0",
        "raise StopIteration('NAME')",
        "raise Numbered(404)",
    ),
    "return: send_file": (
        'return flask.send_file(os.path.join(ROOT, "static", "hello.txt"))',
        'return flask.send_file("static/hello.txt", conditional=False)',
        'return flask.send_file(io.BytesIO(b"0123456789"), mimetype="text/plain")',
        'return flask.send_file(io.BytesIO(b"x,y"), as_attachment=True, download_name="é.csv")',
        'return flask.send_file(io.BytesIO(b"01"), download_name="a.bin", max_age=60, etag="own")',
        'return flask.send_file("static/style.css", max_age=lambda path: 7, last_modified=1)',
        'return flask.send_file("static/missing.txt")',
        'return flask.send_file(io.BytesIO(b"no type"))',
    ),
    "return: send_from_directory": (
        'return flask.send_from_directory("more", "note.txt")',
        'return flask.send_from_directory("static", "missing.txt")',
        'return flask.send_from_directory("static", "../more/note.txt")',
        'return flask.current_app.send_static_file("hello.txt")',
        'return flask.send_from_directory("more", "note.txt", as_attachment=True), 203',
    ),
    "return: render_template_string": (
        'return flask.render_template_string("{{ a }} {{ b|safe }} {{ c|tojson }}", '
        'a="<a>", b="<b>", c={"d": "<e>"})',
        'return flask.render_template_string("{{ request.method }} {{ g.word }} {{ extra }}")',
        "return flask.render_template_string(\"{{ session.get('name', '-') }}\")",
        "return flask.render_template_string(\"{{ url_for(LINK) }}{{ config['TESTING'] }}\")",
        'return flask.render_template_string("{% for m in get_flashed_messages() %}{{ m }};'
        '{% endfor %}")',
        'return flask.render_template_string("{% autoescape false %}{{ a }}{% endautoescape %}",'
        ' a="<a>")',
        "return flask.render_template_string(\"{{ 'x'|twice }} {% if 4 is even %}e{% endif %}\")",
        'return flask.render_template_string("{% if %}")',
        'return flask.render_template_string("{{ 1 / 0 }}")',
        'return flask.render_template_string("{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m(1) }}")',
    ),
    "return: render_template": (
        'return flask.render_template("page.html", name="<n>")',
        'return flask.render_template("child.html", name="NAME"), 201',
        'return flask.render_template("plain.txt", name="<n>", html=Markup("<b>"))',
        'return flask.render_template(["missing.html", "page.html"])',
        'return flask.render_template("missing.html")',
        'return flask.render_template("broken.html")',
        'return flask.get_template_attribute("macros.html", "greet")("<you>")',
    ),
    "return: stream_template": (
        'return flask.stream_template_string("{{ request.path }} {{ a }}", a="<a>")',
        'return flask.stream_template("page.html", name="<n>")',
        'return flask.stream_template_string("{% for n in range(3) %}{{ n }} {% endfor %}"), 202',
        "return flask.stream_template_string(\"{{ session.get('name', '-') }}{{ g.word }}\")",
        'return flask.stream_template_string("a{{ 1 / 0 }}")',
    ),
}

WEIGHTED = (
    *ANSWERS,
    *("return: str", "return: redirect", "return: a wrong type", "return: tuple with status"),
    *("raise: abort", "raise: abort", "raise: HTTPException", "raise: exception"),
    *("return: conditional response", "return: send_file", "return: render_template_string"),
)
"""What views choose from: some answers more often, as there is more to see of them."""

SHORT = (
    "return: str",
    "return: dict",
    "return: tuple with status",
    "return: tuple with status and headers",
    "return: Response",
    "return: make_response",
    "raise: abort",
    "raise: exception",
    "return: redirect",
    "return: render_template_string",
    "return: None",
    "return: generator",
)
"""Answers that handlers and hooks give too."""
