"""OpenTelemetry's Flask instrumentation on this package: one span a request, ended once."""

from __future__ import annotations

import json
from pathlib import Path

from conformance.processes.programs import DEMIJOHN, output

PROGRAM = """
import json, logging, threading
from flask import Flask, abort, copy_current_request_context, request, stream_with_context
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

ended, complaints = [], []

class Exporter(SpanExporter):
    def export(self, spans):
        ended.extend(span.context.span_id for span in spans)
        return SpanExportResult.SUCCESS

class Handler(logging.Handler):
    def emit(self, record):
        complaints.append(record.getMessage())

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Exporter()))
trace.set_tracer_provider(provider)
logging.getLogger("opentelemetry").addHandler(Handler())
app = Flask(__name__)
app.logger.disabled = True
FlaskInstrumentor().instrument_app(app)

@app.get("/plain")
def plain():
    return "x"

@app.get("/error")
def error():
    raise ValueError

@app.get("/abort")
def aborted():
    abort(418)

@app.get("/stream")
def stream():
    def body():
        yield request.path
        yield "b"
    return stream_with_context(body())

@app.get("/thread")
def thread():
    work = copy_current_request_context(lambda: request.path)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return "x"

def spans(path, use):
    ended.clear()
    response = app.test_client().get(path)
    use(response)
    assert not trace.get_current_span().get_span_context().is_valid
    return len(ended), len(set(ended))

read = lambda response: response.get_data()
def leave(response):
    next(iter(response.response))
    response.close()
def elsewhere(response):
    next(iter(response.response))
    thread = threading.Thread(target=response.close)
    thread.start()
    thread.join()

paths = ("/plain", "/error", "/abort", "/stream", "/thread", "/none")
found = {path: spans(path, read) for path in paths}
found["left"] = spans("/stream", leave)
found["closed elsewhere"] = spans("/stream", elsewhere)
found["never started"] = spans("/stream", lambda response: response.close())
print(json.dumps({"found": found, "complaints": complaints}))
"""


def test_one_span_a_request(tmp_path: Path) -> None:
    """Each request ends one span once, however it ends, also a stream closed on another thread; the
    instrumentation has nothing to complain of."""
    (tmp_path / "traced.py").write_text(PROGRAM)
    said = json.loads(output(*DEMIJOHN, "as-flask", "python", "traced.py", cwd=tmp_path))
    assert said["complaints"] == []
    assert set(map(tuple, said["found"].values())) == {(1, 1)}, said["found"]
    assert len(said["found"]) == 9
