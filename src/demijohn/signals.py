"""Flask's path to the signals; they live in `demijohn.framework.signals`."""

from .framework.signals import appcontext_popped as appcontext_popped
from .framework.signals import appcontext_pushed as appcontext_pushed
from .framework.signals import appcontext_tearing_down as appcontext_tearing_down
from .framework.signals import before_render_template as before_render_template
from .framework.signals import got_request_exception as got_request_exception
from .framework.signals import message_flashed as message_flashed
from .framework.signals import request_finished as request_finished
from .framework.signals import request_started as request_started
from .framework.signals import request_tearing_down as request_tearing_down
from .framework.signals import template_rendered as template_rendered

__all__ = (
    "appcontext_popped",
    "appcontext_pushed",
    "appcontext_tearing_down",
    "before_render_template",
    "got_request_exception",
    "message_flashed",
    "request_finished",
    "request_started",
    "request_tearing_down",
    "template_rendered",
)
