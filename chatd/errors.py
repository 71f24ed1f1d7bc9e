"""Every failure a client can be told of.

::

    ChatdError
     +-- PeerError                 the client's to mend
     |    +-- Malformed            400  not JSON, not MessagePack, or not one object
     |    +-- Invalid              400  a field is missing, unknown, or of the wrong type or range
     |    +-- Unauthorized         401  no token, or one that does not hold
     |    +-- Forbidden            403  known, and not allowed
     |    +-- NotFound             404  absent, or none of the caller's business: one answer for both
     |    +-- MethodNotAllowed     405  HTTP only
     |    +-- RequestTimeout       408  HTTP only
     |    +-- Conflict             409  a client_id that was used for something else
     |    +-- Unchanged            409  what was asked for is so already
     |    +-- TooLarge             413  a body, frame or text above its limit
     |    +-- UnsupportedMediaType 415  HTTP only
     |    +-- UpgradeRequired      426  HTTP only, at the WebSocket's path
     |    +-- RateLimited          429  too many connections, or too much too fast; see retry_after_ms
     +-- ServerError               ours
          +-- Internal             500  a defect of chatd; logged with its cause
          +-- Disabled             501  the settings of this server leave it out
          +-- Overloaded           503  a queue is full; nothing was changed
          +-- Unavailable          503  the database is out of reach; nothing was changed
          +-- OutcomeUnknown       503  the commit's reply was lost: send it again with the same client_id

Over WebSocket these stand in an ``error`` reply, over HTTP in RFC 9457 problem details, with the same members.
"""

from enum import IntEnum
from typing import ClassVar


class ChatdError(Exception):
    """A failure with a code that clients may rely on.

    ``detail`` is one sentence for a developer; it never quotes a token, a message body or a stack.
    ``retry_after_ms`` is a hint in milliseconds; it is only given with retryable codes.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    retryable: ClassVar[bool] = False
    meaning: ClassVar[str]

    def __init__(self, detail: str = "", *, retry_after_ms: int | None = None) -> None:
        super().__init__(detail or self.meaning)
        self.detail = detail or self.meaning
        self.retry_after_ms = retry_after_ms


class PeerError(ChatdError):
    """The client's to mend: sending the same again gives the same answer, unless ``retryable``."""


class ServerError(ChatdError):
    """Ours to mend."""


class Malformed(PeerError):
    code = "malformed"
    status = 400
    meaning = "The frame or body is not one JSON object (or MessagePack map)."


class Invalid(PeerError):
    code = "invalid"
    status = 400
    meaning = "A field is missing, unknown, or of the wrong type or range."


class Unauthorized(PeerError):
    code = "unauthorized"
    status = 401
    meaning = "The token is missing or does not hold."


class Forbidden(PeerError):
    code = "forbidden"
    status = 403
    meaning = "This is not allowed."


class NotFound(PeerError):
    code = "not_found"
    status = 404
    meaning = "There is nothing here that you may see."


class MethodNotAllowed(PeerError):
    code = "method_not_allowed"
    status = 405
    meaning = "This path does not answer to that method."


class RequestTimeout(PeerError):
    code = "request_timeout"
    status = 408
    retryable = True
    meaning = "The request did not arrive in time."


class Conflict(PeerError):
    code = "conflict"
    status = 409
    meaning = "This client_id was used before, for something else."


class Unchanged(PeerError):
    code = "unchanged"
    status = 409
    meaning = "It is so already; nothing was changed."


class TooLarge(PeerError):
    code = "too_large"
    status = 413
    meaning = "This is above the limit for its size."


class UnsupportedMediaType(PeerError):
    code = "unsupported_media_type"
    status = 415
    meaning = "The body must be application/json."


class UpgradeRequired(PeerError):
    code = "upgrade_required"
    status = 426
    meaning = "This path speaks WebSocket: upgrade the connection."


class RateLimited(PeerError):
    code = "rate_limited"
    status = 429
    retryable = True
    meaning = "This is too much, or comes too fast: wait, and send it again."


class Internal(ServerError):
    code = "internal"
    status = 500
    meaning = "A fault of the server, which has been logged."


class Disabled(ServerError):
    code = "disabled"
    status = 501
    meaning = "This is turned off on this server."


class Overloaded(ServerError):
    code = "overloaded"
    status = 503
    retryable = True
    meaning = "The server is at its limit; nothing was changed. Send it again."


class Unavailable(ServerError):
    code = "unavailable"
    status = 503
    retryable = True
    meaning = "The database is out of reach; nothing was changed. Send it again."


class OutcomeUnknown(ServerError):
    code = "outcome_unknown"
    status = 503
    retryable = True
    meaning = "It may or may not have been done: send it again with the same client_id."


CATALOGUE: tuple[type[ChatdError], ...] = (
    Malformed,
    Invalid,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    Unchanged,
    TooLarge,
    UnsupportedMediaType,
    UpgradeRequired,
    RateLimited,
    Internal,
    Disabled,
    Overloaded,
    Unavailable,
    OutcomeUnknown,
)
"""All codes, in the order of their status, for the generated documents."""


class CloseCode(IntEnum):
    """Why a WebSocket was closed.

    RFC 6455, section 7.4.1 where one of its codes fits. Of our own, 4000-4499 mean "come back and resume",
    4500-4999 "do not come back like this".
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    SLOW_READER = 4001
    TOKEN_EXPIRED = 4002
    FLOODING = 4003
    UNAUTHENTICATED = 4500
    AUTH_TIMEOUT = 4501
    TOKEN_REVOKED = 4502
