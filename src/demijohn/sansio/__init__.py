"""Flask's paths to the parts of an application that know no server."""

from . import app as app
from . import blueprints as blueprints
from . import scaffold as scaffold
