"""An event of the log as one line of JSON.

=========== ===================================================================================================
member      what it holds
=========== ===================================================================================================
time        when it happened, in UTC (RFC 3339, microseconds)
level       debug, info, warn, error or critical
source      the module, or the part of Twisted, that it comes from
worker      the worker's number; missing where it is the parent's, or where there are no workers
pid         the process
message     what happened
failure     the traceback, if an exception is behind it
...         of IDS those that the event tells
=========== ===================================================================================================

A line is ASCII: whatever else a text holds is escaped as JSON does it, so that nothing in it ends the line, commands a
terminal or turns the writing round. Of an event's other fields only those of IDS come to stand in a line: one that its
message does not show was not meant to be read.
"""

import json
import os
from datetime import UTC, datetime

from twisted.logger import FileLogObserver, LogEvent, LogLevel, eventAsText

from chatd.workers.control import Logged

IDS = (
    "connection",
    "request",
    "user",
    "service",
    "device",
    "client",
    "conversation",
    "command",
    "method",
    "path",
    "status",
    "code",
)
"""What leads from one line to others: fields of events that are told beside the message."""
RELAYED = "log_relayed"
"""The field in which an event of a worker's, in the parent, holds what the worker has told."""
WORKER, PID = "log_worker", "log_pid"


def told(event: LogEvent) -> Logged:
    """``event`` as text, in the parts that both forms of the log are made of."""
    failure = event.get("log_failure")
    return Logged(
        time=event["log_time"],
        level=(event.get("log_level") or LogLevel.info).name,
        namespace=event.get("log_namespace") or event.get("log_system") or "-",
        text=_whole(eventAsText(event, includeTraceback=False, includeTimestamp=False, includeSystem=False)),
        failure="" if failure is None else _traceback(failure),
        ids={name: _plain(event[name]) for name in IDS if event.get(name) is not None},
    )


def _traceback(failure: object) -> str:
    """Twisted's own words for a traceback, which it does not let fail."""
    text = eventAsText({"log_failure": failure}, includeTraceback=True, includeTimestamp=False, includeSystem=False)
    return _whole(text.strip("\n"))


def _plain(value: object) -> str | int:
    if isinstance(value, bytes):
        return value.decode("ascii", "backslashreplace")
    return value if isinstance(value, int) else _whole(str(value))


def _whole(text: str) -> str:
    """Text that UTF-8 can hold: halves of surrogate pairs are shown as such."""
    return text.encode("utf-8", "backslashreplace").decode()


def json_line(event: LogEvent) -> str | None:
    """The line of ``event``, its end included; None where it says nothing."""
    logged = event.get(RELAYED) or told(event)
    if not logged.text and not logged.failure:
        return None
    members = {
        "time": datetime.fromtimestamp(logged.time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": logged.level,
        "source": logged.namespace,
        "worker": event.get(WORKER),
        "pid": event.get(PID, os.getpid()),
        "message": logged.text,
        "failure": logged.failure or None,
        **logged.ids,
    }
    return json.dumps({name: value for name, value in members.items() if value is not None}) + "\n"


def as_json(observer: FileLogObserver) -> FileLogObserver:
    """Writes to the same file, a line for each event."""
    return FileLogObserver(observer._outFile, json_line)
