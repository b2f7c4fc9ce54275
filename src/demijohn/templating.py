"""Flask's path to templates.

They live in `demijohn.framework.templates` and `demijohn.http.templating`.
"""

from .framework.templates import DispatchingJinjaLoader as DispatchingJinjaLoader
from .framework.templates import _default_template_ctx_processor as _default_template_ctx_processor
from .framework.templates import render_template as render_template
from .framework.templates import render_template_string as render_template_string
from .framework.templates import stream_template as stream_template
from .framework.templates import stream_template_string as stream_template_string
from .http.templating import Environment as Environment

__all__ = (
    "DispatchingJinjaLoader",
    "Environment",
    "render_template",
    "render_template_string",
    "stream_template",
    "stream_template_string",
)
