"""What a view or a hook does before it answers: source by feature, in several variants."""

from __future__ import annotations

WORKS: dict[str, tuple[str, ...]] = {
    "request: URLs": (
        "r = flask.request\nlog(r.url, r.base_url, r.full_path, r.path, r.root_url, r.host_url)",
        "r = flask.request\nlog(r.host, r.script_root, r.scheme, r.is_secure, r.remote_addr)",
        "log(flask.request.root_path, flask.request.query_string, flask.request.method)",
    ),
    "request: routing": (
        "r = flask.request\nlog(r.endpoint, r.blueprint, r.blueprints, r.view_args)",
        "rule = flask.request.url_rule\n"
        "log(rule and (rule.rule, rule.endpoint, sorted(rule.methods or ())))",
    ),
    "request: query": (
        "log(flask.request.args.to_dict(flat=False), flask.request.args.get('a', type=int))",
        "log(list(flask.request.values.items(multi=True)))",
        "log(flask.request.args['a'])",
    ),
    "request: form": (
        "log(flask.request.form.to_dict(flat=False))",
        "r = flask.request\nlog(list(r.form), [(f.name, f.filename, f.mimetype, f.read())"
        " for f in r.files.values()])",
        "log(list(flask.request.values.items(multi=True)), len(flask.request.files))",
        "log(flask.request.form['a'])",
    ),
    "request: JSON": (
        "log(flask.request.get_json())",
        "log(flask.request.json)",
        "log(flask.request.get_json(silent=True), flask.request.is_json)",
        "log(flask.request.get_json(force=True))",
    ),
    "request: data": (
        "log(flask.request.get_data(), flask.request.content_length)",
        "log(flask.request.get_data(as_text=True), flask.request.mimetype)",
        "log(flask.request.data, flask.request.mimetype_params)",
        "log(flask.request.stream.read(4), flask.request.content_type)",
        "log(flask.request.get_data(cache=False, parse_form_data=True), len(flask.request.form))",
    ),
    "request: headers": (
        "log(sorted(flask.request.headers.items()))",
        "r = flask.request\n"
        "log(r.user_agent.string, r.referrer, r.accept_mimetypes.best, r.origin)",
        "r = flask.request\nlog(r.if_none_match.to_header(), str(r.range), r.if_modified_since)",
        "r = flask.request\nlog(r.authorization, r.cache_control.max_age, r.accept_languages.best)",
        "log(sorted(flask.request.cookies.items(multi=True), key=str)[-1:])",
    ),
    "request: limits": (
        "flask.request.max_content_length = 5\nlog(flask.request.get_data())",
        "flask.request.max_content_length = 5\nlog(flask.request.form)",
        "flask.request.max_form_memory_size = 2\nflask.request.max_form_parts = 1\n"
        "log(flask.request.mimetype == 'multipart/form-data' and flask.request.form)",
        "log(flask.request.max_content_length, flask.request.max_form_parts)",
    ),
    "session: write": (
        "flask.session['name'] = 'NAME'",
        "flask.session['n'] = flask.session.get('n', 0) + 1",
        "flask.session.update(t=(1, 2), b=b'b', d=datetime.datetime(2024, 5, 1), m=Markup('<b>'))",
        "flask.session['id'] = uuid.UUID(int=7)\nflask.session['deep'] = {'a': [1, (2,)]}",
        "flask.session.setdefault('first', 'NAME')",
    ),
    "session: read": (
        "log(sorted(flask.session.items(), key=str), flask.session.permanent)",
        "log(flask.session.get('name'), 'n' in flask.session, len(flask.session))",
        "log(flask.session.new, flask.session.modified, flask.session.accessed)",
        "log(bool(flask.session))",
    ),
    "session: permanent": (
        "flask.session.permanent = True",
        "flask.session.permanent = False",
        "flask.session.permanent = True\nflask.session['name'] = 'kept'",
    ),
    "session: clear": (
        "flask.session.clear()",
        "flask.session.pop('name', None)\nflask.session.pop('n', None)",
        "flask.session.pop('missing')",
        "del flask.session['name']",
    ),
    "session: change inside": (
        "flask.session.setdefault('list', []).append(1)",
        "flask.session.setdefault('list', []).append(2)\nflask.session.modified = True",
        "flask.session.modified = True",
        "flask.session['unfit'] = len",
    ),
    "flash": (
        "flask.flash('message of NAME')",
        "flask.flash('<b>', 'warning')\nflask.flash(Markup('<i>'), 'note')",
    ),
    "flash: read": (
        "log(flask.get_flashed_messages())",
        "log(flask.get_flashed_messages(with_categories=True))",
        "log(flask.get_flashed_messages(category_filter=['warning']))",
    ),
    "g": (
        "flask.g.word = 'NAME'\nlog(sorted(flask.g), 'word' in flask.g, flask.g.get('no', 1))",
        "log(flask.g.setdefault('list', []), flask.g.pop('word', None))",
        "log(flask.g.missing)",
        "log(repr(flask.g), bool(flask.g))",
    ),
    "after_this_request": (
        "@flask.after_this_request\ndef later(response):\n    log('NAME later')\n"
        "    response.headers.add('X-Later', 'NAME')\n    return response",
        "@flask.after_this_request\ndef later(response):\n    log('NAME later')\n"
        "    return flask.make_response('replaced', 203)",
        "@flask.after_this_request\ndef later(response):\n    log('NAME later')\n"
        "    raise Oops('NAME later')",
    ),
    "url_for": (
        "log(flask.url_for(LINK))",
        "log(flask.url_for(LINK, _external=True, _anchor='an chor', q='a b'))",
        "log(flask.url_for(LINK, _scheme='https', _external=True, more=[1, 2]))",
        "log(flask.url_for(LINK, _method='POST'))",
        "log(flask.url_for('missing.endpoint'))",
        "log(flask.url_for('.NAME', _external=False))",
    ),
    "templates inside": (
        "log(flask.render_template_string('{{ extra }} {{ a }} {{ g.word }}'))",
        "log(flask.render_template('page.html', name='NAME'))",
        "log(''.join(flask.stream_template_string('{{ extra }}{{ request.method }}')))",
    ),
    "url_for: static": (
        "log(flask.url_for('static', filename='a b.css', v='1'))",
        "log(flask.url_for('static', filename='hello.txt', _external=True))",
    ),
    "current_app": (
        "a = flask.current_app\nlog(a.name, a.debug, a.testing, a.config['SESSION_COOKIE_NAME'])",
        "log(flask.has_app_context(), flask.has_request_context(), flask.current_app.import_name)",
        "flask.current_app.config['ADDED'] = 'NAME'\nlog(sorted(flask.current_app.blueprints))",
        "log(flask.current_app.ensure_sync(len)('abc'), flask.current_app.got_first_request)",
    ),
    "logger": (
        "flask.current_app.logger.warning('from %s', 'NAME')",
        "flask.current_app.logger.error('from NAME')\nflask.current_app.logger.debug('debug')",
    ),
    "contexts inside": (
        "with app.app_context():\n    log(flask.url_for(LINK), flask.has_request_context())",
        "with app.app_context():\n    flask.g.word = 'inner'\n    log(sorted(flask.g))",
        "with app.test_request_context('/inner?a=1', method='POST'):\n"
        "    log(flask.request.path, flask.request.args['a'], flask.session.get('name'))",
    ),
    "late registration": (
        "try:\n    flask.current_app.add_url_rule('/late', 'late', len)\n"
        "except AssertionError:\n    log('refused')",
        "try:\n    @app.before_request\n    def late(): log('late')\n"
        "except AssertionError:\n    log('refused')",
    ),
}

WEIGHTED = (
    *WORKS,
    *("url_for", "templates inside") * 3,
    *("flash", "request: JSON", "request: limits"),
    "templates inside",
)
"""What views choose from: some works more often, as other features show only through them."""

EARLY = ("session: write", "session: read", "g", "request: routing", "logger", "request: URLs")
"""What hooks do too."""
