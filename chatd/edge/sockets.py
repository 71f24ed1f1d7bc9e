"""A socket that was let in, whichever protocol it speaks by now."""

from typing import Final

from chatd.edge.admission import Admission
from chatd.errors import RateLimited
from chatd.security.limits import Bucket
from chatd.state.throttle import Throttle

TOO_MANY: Final = "You have too many connections: close some, or wait, and come back."

TOO_MANY_MS: Final = 5000
"""When one more may be tried. Connections that have died are noticed in the course of some such times."""


class Socket:
    """One admitted socket's place in the counts.

    It goes along when a WebSocket takes the connection over, and whoever has the connection in the end says
    :meth:`left`. That, :meth:`authenticated` and :meth:`count_for_person` count once, however often they are called.

    ``host`` is the address that it counts for, None while it is a proxy's that has not said for whom.
    """

    __slots__ = ("_admission", "_authenticated", "_left", "_refusals", "_user", "host")

    def __init__(self, admission: Admission, host: str | None) -> None:
        self._admission = admission
        self.host = host
        self._authenticated = False
        self._left = False
        self._user: str | None = None
        self._refusals: Bucket | None = None

    def counts_for(self, host: str | None) -> bool:
        """From now on it counts for this address; False, and nothing changes, where that one has used up its share."""
        if host != self.host and not self._left:
            if not self._admission.move(self.host, host):
                return False
            self.host = host
        return True

    def authenticated(self) -> None:
        """It has shown a token that holds."""
        if not self._authenticated and not self._left:
            self._authenticated = True
            self._admission.authenticated()

    def count_for_person(self, user: str) -> None:
        """It is a WebSocket of this person's. Raises RateLimited, and it is not, where they have too many."""
        if self._user is None and not self._left:
            if not self._admission.count_for_person(user):
                raise RateLimited(TOO_MANY, retry_after_ms=TOO_MANY_MS)
            self._user = user

    def insists(self, throttle: Throttle) -> bool:
        """One more request or command on it was refused. Whether it goes on and on, and is to be closed."""
        if self._refusals is None:
            self._refusals = Bucket()
        return throttle.insists(self._refusals)

    def left(self) -> None:
        """It has gone."""
        if not self._left:
            self._left = True
            self._admission.left(self.host, self._user, was_authenticated=self._authenticated)
