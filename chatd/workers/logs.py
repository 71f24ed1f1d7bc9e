"""How much is logged, and in which form."""

from collections.abc import Callable
from typing import Any

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)
from zope.interface import implementer

from chatd.workers.log_lines import as_json
from chatd.workers.patient import patient
from chatd.workers.relay import Relay


@implementer(ILogObserver)
class EscapingObserver:
    """Hands events on with their texts in printable characters alone.

    Part of a text may be a peer's: it ends no line, sends no command to a terminal and turns no writing round.
    """

    def __init__(self, observer: ILogObserver) -> None:
        self._observer = observer

    def __call__(self, event: LogEvent) -> None:
        self._observer({name: _printable(name, value) for name, value in event.items()})


def _printable(name: str, value: Any) -> Any:
    # The names that begin like this are the logger's own, such as that of the format.
    if name.startswith("log_") or not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value)


def limit_log(level: str, form: str = "text") -> Callable[[str], None]:
    """Let every observer that there is hear of ``level`` and what is more severe, and of nothing else.

    With ``json`` as its ``form`` those that write to files write JSON from now on; any others, such as syslog's, go on
    to write text. What it returns sets another level. Called when the service starts: twistd has put its own observers
    in place by then, and asks no plugin about them.
    """
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))
    observers: list[ILogObserver] = list(globalLogPublisher._observers)
    for observer in observers:
        globalLogPublisher.removeObserver(observer)
        globalLogPublisher.addObserver(FilteringLogObserver(_formed(observer, form), [predicate]))
    return lambda level: predicate.setLogLevelForNamespace("", LogLevel.levelWithName(level))


def _formed(observer: ILogObserver, form: str) -> ILogObserver:
    if isinstance(observer, Relay):
        # What becomes of it is seen to in the parent.
        return observer
    if form == "json" and isinstance(observer, FileLogObserver):
        return patient(as_json(observer))
    return EscapingObserver(patient(observer))
