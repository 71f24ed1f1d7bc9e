"""Where what workers tell each other meets whoever acts on it."""

from collections.abc import Callable
from typing import Any, TypeVar

from chatd.records.base import Signal

Told = TypeVar("Told", bound=Signal)


class Exchange:
    """This worker's listeners by kind of signal. None may raise: ``failed`` is told, and the others still hear it."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._listeners: dict[type[Signal], list[Callable[[Any], None]]] = {}

    def listen(self, kind: type[Told], listener: Callable[[Told], None]) -> None:
        """Call ``listener`` with every signal of ``kind``."""
        self._listeners.setdefault(kind, []).append(listener)

    def heed(self, signal: Signal) -> None:
        """A signal has come."""
        for listener in self._listeners.get(type(signal), ()):
            try:
                listener(signal)
            except Exception as unforeseen:
                # An edge: one listener's defect must not keep the others from acting.
                self._failed(unforeseen)
