"""What both edges, WebSocket and HTTP, stand on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from chatd.edge.admission import Admission
from chatd.edge.clients import Clients
from chatd.errors import Unauthorized
from chatd.interfaces.tokens import ITokenVerifier
from chatd.records.condition import Condition
from chatd.records.tokens import Claims
from chatd.router import Lanes, Router
from chatd.settings.model import Settings
from chatd.state.delivery import Delivery
from chatd.state.hub import Hub
from chatd.state.revocations import Revocations
from chatd.state.throttle import Allowance, Throttle


def _nothing(claims: Claims, device: str) -> None:
    """Where nobody wants to know who comes."""


@dataclass(frozen=True)
class Gateway:
    """One worker's way in. ``arrived`` is told of each token that holds, and of the device that shows it.

    ``now`` is wall-clock time in seconds, against which tokens expire; timers run on ``reactor``, whose time is
    monotonic. ``features`` are told in ``hello``. ``condition`` is how the worker is. ``revocations`` are what
    ``verifier`` asks as well. ``throttle`` limits how much is asked for. ``epoch`` is the one that is served.
    """

    router: Router
    verifier: ITokenVerifier
    revocations: Revocations
    hub: Hub
    admission: Admission
    clients: Clients
    throttle: Throttle
    settings: Settings
    reactor: IReactorTime
    now: Callable[[], float]
    condition: Callable[[], Condition]
    features: tuple[str, ...]
    epoch: Callable[[], str]
    arrived: Callable[[Claims, str], None] = _nothing

    async def identify(self, token: str, device: str, client: str) -> Claims:
        """Whose a token is that ``device`` shows from the address ``client``; see ITokenVerifier.

        Raises RateLimited, without having looked at it, where too many from there did not hold.
        """
        refusal = self.throttle.guess_refusal(client)
        if refusal is not None:
            raise refusal
        failed = False
        try:
            return await self.verifier.verify(token, device)
        except Unauthorized:
            failed = True
            raise
        finally:
            self.throttle.settle_guess(client, failed=failed)


class RequestCaller:
    """Who asks over HTTP: one command, and no connection to deliver events to. ``id`` names it in logs."""

    delivery: Delivery[Any] | None = None

    def __init__(self, claims: Claims, device: str, id: str, allowance: Allowance) -> None:
        self.user = claims.user
        self.token_id = claims.token_id
        self.scopes = claims.scopes
        self.device = device
        self.id = id
        self.allowance = allowance
        self.lanes = Lanes()

    def drained(self) -> Deferred[None]:
        """An HTTP reply is never behind."""
        return succeed(None)
