"""A pytest plugin that makes `import flask` resolve to this package before anything is collected.

Used as `-p alias_plugin` with this folder on `PYTHONPATH`, where Flask is not installed.
"""

from __future__ import annotations

from importlib.metadata import version

import demijohn

demijohn.install_as_flask()
if version("flask") != demijohn.FLASK_API:
    raise RuntimeError(f"Under the alias, Flask's version reads {version('flask')}.")
