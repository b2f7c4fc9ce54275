"""Flask's path to the errors of debug mode; they live in `demijohn.http.debughelpers`."""

from .application import Blueprint as Blueprint
from .framework.app_setup import AppSetup as App
from .framework.templates import (
    explain_template_loading_attempts as explain_template_loading_attempts,
)
from .globals import request_ctx as request_ctx
from .http.debughelpers import DebugFilesKeyError as DebugFilesKeyError
from .http.debughelpers import FormDataRoutingRedirect as FormDataRoutingRedirect
from .http.debughelpers import UnexpectedUnicodeError as UnexpectedUnicodeError
from .http.debughelpers import attach_enctype_error_multidict as attach_enctype_error_multidict

__all__ = (
    "App",
    "Blueprint",
    "DebugFilesKeyError",
    "FormDataRoutingRedirect",
    "UnexpectedUnicodeError",
    "attach_enctype_error_multidict",
    "explain_template_loading_attempts",
)
