"""The end of a process that cannot go on: one line that says why, and exit code 1."""

# Twisted's failures are not annotated.
# mypy: allow-untyped-calls

import atexit
import os
import sys
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.settings.base import SettingsError
from chatd.store.epochs import EpochChanged
from chatd.store.migrate import MigrationError
from chatd.workers.postgres_binaries import EmbeddedPostgresError

log = Logger()


def log_ending(error: BaseException) -> str:
    """Something that no retry mends: log it, and give it in one line. What is no known cause is logged as a defect."""
    if isinstance(error, EmbeddedPostgresError | MigrationError | EpochChanged | CannotListenError | SettingsError):
        reason = str(error)
    else:
        log.failure("a defect of chatd", Failure(error))
        reason = f"{type(error).__name__}: {error}"
    log.critical("chatd cannot go on: {reason}", reason=reason)
    return reason


def end_in_failure(reactor: Any, error: BaseException) -> None:
    """Say it, and stop the reactor."""
    print(f"chatd: {log_ending(error)}", file=sys.__stderr__, flush=True)
    atexit.register(_exit_with_failure)
    reactor.callWhenRunning(reactor.stop)


def _exit_with_failure() -> None:
    """twistd knows no exit code of a service's own; this comes last, when it has tidied up."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
