"""Flask's path to the helpers; they live in `demijohn.framework`.

The names that are not in `__all__` are here because they are in Flask's module.
"""

from werkzeug.wrappers import Response as BaseResponse

from .framework.config import get_debug_flag as get_debug_flag
from .framework.config import get_load_dotenv as get_load_dotenv
from .framework.helpers import _split_blueprint_path as _split_blueprint_path
from .framework.helpers import abort as abort
from .framework.helpers import flash as flash
from .framework.helpers import get_flashed_messages as get_flashed_messages
from .framework.helpers import get_template_attribute as get_template_attribute
from .framework.helpers import make_response as make_response
from .framework.helpers import redirect as redirect
from .framework.helpers import send_file as send_file
from .framework.helpers import send_from_directory as send_from_directory
from .framework.helpers import url_for as url_for
from .framework.paths import get_root_path as get_root_path
from .framework.signals import message_flashed as message_flashed
from .framework.streams import stream_with_context as stream_with_context
from .globals import _cv_app as _cv_app
from .globals import _cv_request as _cv_request
from .globals import current_app as current_app
from .globals import request as request
from .globals import request_ctx as request_ctx
from .globals import session as session

__all__ = (
    "BaseResponse",
    "abort",
    "flash",
    "get_debug_flag",
    "get_flashed_messages",
    "get_load_dotenv",
    "get_root_path",
    "get_template_attribute",
    "make_response",
    "redirect",
    "send_file",
    "send_from_directory",
    "stream_with_context",
    "url_for",
)
