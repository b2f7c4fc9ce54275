"""Run by every Python that starts with this folder on `PYTHONPATH`; see demijohn.compat.launch.

With `DEMIJOHN_AS_FLASK` set, `import flask` means Demijohn in that process. The `sitecustomize`
that this one hides runs too. A Python without Demijohn is left alone until it imports flask.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

FOLDER = os.path.dirname(os.path.abspath(__file__))


class NoDemijohn:
    """Refuses `import flask`, which would otherwise quietly find Flask, or nothing."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname.partition(".")[0] == "flask":
            raise ImportError(
                f"DEMIJOHN_AS_FLASK is set, but {sys.executable} cannot import Demijohn"
                f" ({self.reason}). Install it for that Python, or unset the variable there.",
                name="flask",
            )


def stand_in_for_flask() -> None:
    """Do what the variable asks for."""
    if os.environ.get("DEMIJOHN_AS_FLASK", "").lower() in ("", "0", "false", "no", "off"):
        return
    try:
        from demijohn.compat.alias import stand_in
    except (ImportError, SyntaxError) as error:
        sys.meta_path.insert(0, NoDemijohn(error))
        return
    stand_in()


def run_hidden() -> None:
    """Run the next `sitecustomize` on the path, under its own name, as if this one were gone."""
    others = [folder for folder in sys.path if os.path.abspath(folder) != FOLDER]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


stand_in_for_flask()
run_hidden()
