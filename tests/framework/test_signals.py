"""The framework's signals."""

from __future__ import annotations

import flask.signals
from blinker import NamedSignal, Namespace, default_namespace

from demijohn.framework import signals


def named(module: object) -> dict[str, str]:
    return {key: v.name for key, v in vars(module).items() if isinstance(v, NamedSignal)}


def test_signals_are_flasks() -> None:
    """There are Flask's ten signals, under the same variables and names."""
    assert named(signals) == named(flask.signals)
    assert len(named(signals)) == 10


def test_signals_are_not_shared() -> None:
    """The signals are neither Flask's objects nor in the namespace that libraries share."""
    assert isinstance(signals._signals, Namespace)
    for name, signal in signals._signals.items():
        assert signal is not flask.signals._signals[name]
        assert default_namespace.get(name) is not signal
