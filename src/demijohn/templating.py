"""Flask's path to templates.

They live in `demijohn.framework.templates` and `demijohn.http.templating`.
"""

from jinja2 import Environment as BaseEnvironment

from .framework.signals import before_render_template as before_render_template
from .framework.signals import template_rendered as template_rendered
from .framework.streams import stream_with_context as stream_with_context
from .framework.templates import DispatchingJinjaLoader as DispatchingJinjaLoader
from .framework.templates import _default_template_ctx_processor as _default_template_ctx_processor
from .framework.templates import _render as _render
from .framework.templates import _stream as _stream
from .framework.templates import render_template as render_template
from .framework.templates import render_template_string as render_template_string
from .framework.templates import stream_template as stream_template
from .framework.templates import stream_template_string as stream_template_string
from .globals import _cv_app as _cv_app
from .globals import _cv_request as _cv_request
from .globals import current_app as current_app
from .globals import request as request
from .http.templating import Environment as Environment

__all__ = (
    "BaseEnvironment",
    "DispatchingJinjaLoader",
    "Environment",
    "render_template",
    "render_template_string",
    "stream_template",
    "stream_template_string",
)
