"""What a failure of PostgreSQL means to whoever asked: the one place that judges it.

==============================================  ==========================================  ==================
what happened                                   what became of the change                   the caller is told
==============================================  ==========================================  ==================
no connection, or lost before it was sent       none                                        Unavailable
lost in flight, reading or before COMMIT        none                                        Unavailable
lost in flight, a statement that writes         may or may not have been done               OutcomeUnknown
lost with COMMIT in flight                      may or may not have been done               OutcomeUnknown
statement or lock timeout                       none, the server rolled it back             Overloaded
deadlock, serialization failure                 none; repeated first, then told             Overloaded
disk full, out of memory, too many connections  none                                        Unavailable
read-only server, stale prepared statement      none; the connection is replaced            Unavailable
input or output error of the server             none                                        Unavailable
constraint, bad value, bad SQL, anything else   none                                        psycopg2's own error
==============================================  ==========================================  ==================

SQLSTATEs are those of the PostgreSQL manual, appendix A.
"""

import psycopg2
from psycopg2 import errorcodes

from chatd.errors import OutcomeUnknown, Overloaded, ServerError, Unavailable

RETRY_AFTER_MS = 1000

_REPEATABLE = frozenset({errorcodes.SERIALIZATION_FAILURE, errorcodes.DEADLOCK_DETECTED})

_SESSION_OVER = frozenset(
    {
        errorcodes.ADMIN_SHUTDOWN,
        errorcodes.CRASH_SHUTDOWN,
        errorcodes.CANNOT_CONNECT_NOW,
        errorcodes.DATABASE_DROPPED,
        errorcodes.IDLE_SESSION_TIMEOUT,
        errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    }
)

_SESSION_STALE = frozenset(
    {
        errorcodes.READ_ONLY_SQL_TRANSACTION,  # the server became a standby: another one may be the primary now
        errorcodes.INVALID_SQL_STATEMENT_NAME,  # a pooler in between handed us a session without our PREPAREs
    }
)

_TOO_SLOW = frozenset({errorcodes.QUERY_CANCELED, errorcodes.LOCK_NOT_AVAILABLE})

_OUT_OF_REACH_CLASSES = frozenset(
    {
        errorcodes.CLASS_CONNECTION_EXCEPTION,
        errorcodes.CLASS_INSUFFICIENT_RESOURCES,
        errorcodes.CLASS_OPERATOR_INTERVENTION,
        errorcodes.CLASS_SYSTEM_ERROR,
    }
)


class SessionError(Exception):
    """The session with the server ended."""


class NotSent(SessionError):
    """It had ended before the statement went out whole: that was certainly not carried out."""


class Lost(SessionError):
    """It ended while a statement was in flight: the server may have carried it out."""


class CommitLost(SessionError):
    """It ended with COMMIT in flight."""


class LetGo(SessionError):
    """We ended it, since nobody here needed it."""


def first_line(error: Exception) -> str:
    """What an error says, for a log or an operator: libpq's texts go on over several lines."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def is_repeatable(error: Exception) -> bool:
    """Whether the server rolled back only because of what others did, so that the same may now succeed."""
    return isinstance(error, psycopg2.Error) and error.pgcode in _REPEATABLE


def ends_session(error: psycopg2.Error) -> bool:
    """Whether the server (or a pooler) ends the session with this error, noticed by the socket or not yet."""
    code = error.pgcode or ""
    return code in _SESSION_OVER or code.startswith(errorcodes.CLASS_CONNECTION_EXCEPTION)


def makes_stale(error: psycopg2.Error) -> bool:
    """Whether the statement failed because this session is no longer fit for use, while a new one may be."""
    return error.pgcode in _SESSION_STALE or _has_stale_plan(error)


def _has_stale_plan(error: psycopg2.Error) -> bool:
    """Whether a migration changed what a prepared statement returns; its code is shared by many other complaints."""
    return error.pgcode == errorcodes.FEATURE_NOT_SUPPORTED and error.diag.source_function == "RevalidateCachedQuery"


def told(error: psycopg2.Error | SessionError, *, writes: bool) -> ServerError | None:
    """The error that clients get for this failure, or None if it is the caller's to judge.

    ``writes``: the statement that was in flight would have changed something by itself.
    """
    if isinstance(error, CommitLost) or (isinstance(error, Lost) and writes):
        return OutcomeUnknown(retry_after_ms=RETRY_AFTER_MS)
    if isinstance(error, SessionError):
        return Unavailable(retry_after_ms=RETRY_AFTER_MS)
    code = error.pgcode or ""
    if code in _TOO_SLOW or code in _REPEATABLE:
        return Overloaded(retry_after_ms=RETRY_AFTER_MS)
    if makes_stale(error) or code[:2] in _OUT_OF_REACH_CLASSES:
        return Unavailable(retry_after_ms=RETRY_AFTER_MS)
    return None
