"""A socket that was let in, whichever protocol it speaks by now."""

from chatd.edge.admission import Admission


class Socket:
    """One admitted socket's place in the counts.

    It goes along when a WebSocket takes the connection over, and whoever has the connection in the end says
    :meth:`left`. Both methods count once, however often they are called.
    """

    __slots__ = ("_admission", "_authenticated", "_host", "_left")

    def __init__(self, admission: Admission, host: str) -> None:
        self._admission = admission
        self._host = host
        self._authenticated = False
        self._left = False

    def authenticated(self) -> None:
        """It has shown a token that holds."""
        if not self._authenticated and not self._left:
            self._authenticated = True
            self._admission.authenticated()

    def left(self) -> None:
        """It has gone."""
        if not self._left:
            self._left = True
            self._admission.left(self._host, was_authenticated=self._authenticated)
