"""Connections are closed when the issuer of their token no longer stands by it, or was not heard for too long."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Set

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.auth.introspection import Introspection
from chatd.errors import CloseCode, ServerError
from chatd.interfaces.bus import IRhythm
from chatd.records.tokens import Claims, ShownToken

log = Logger()

LOOK_SECONDS = 0.5
AT_ONCE = 8
"""How many living tokens are asked about at once, for each issuer; whoever connects is asked about beside them."""

End = Callable[[Set[bytes], CloseCode, str], None]


class IntrospectionWatch:
    """Has every token that ``living`` tells of asked about again, in ``rhythm``, when its verdict no longer counts.

    ``end`` closes the connections that live on the tokens of these digests.
    """

    def __init__(
        self,
        introspections: Mapping[str, Introspection],
        living: Callable[[], Iterable[Claims]],
        end: End,
        rhythm: IRhythm,
    ) -> None:
        self._introspections = introspections
        self._living = living
        self._end = end
        self._asked: dict[str, set[bytes]] = {issuer: set() for issuer in introspections}
        self._due: dict[str, deque[ShownToken]] = {issuer: deque() for issuer in introspections}
        self._filling = False
        if introspections:
            rhythm.every(LOOK_SECONDS, self._look)
            rhythm.at_end(self._ask_no_more)

    async def _ask_no_more(self) -> None:
        for due in self._due.values():
            due.clear()

    async def _look(self) -> None:
        """Close what the issuers are known not to stand by, and ask about what is due, the longest unasked first."""
        due: dict[str, dict[bytes, tuple[float, ShownToken]]] = {issuer: {} for issuer in self._introspections}
        inactive: set[bytes] = set()
        outdated: set[bytes] = set()
        for claims in self._living():
            token, introspection = claims.shown, self._introspections.get(claims.issuer)
            if token is None or introspection is None:
                continue
            verdict = introspection.known(token)
            if verdict is not None and introspection.counts(verdict):
                if not verdict.active:
                    inactive.add(token.digest)
            elif introspection.breaker.refusing and (verdict is None or introspection.outdated(verdict)):
                outdated.add(token.digest)
            elif token.digest not in self._asked[claims.issuer]:
                due[claims.issuer][token.digest] = (0.0 if verdict is None else verdict.at, token)
        self._close(inactive, outdated)
        for issuer, tokens in due.items():
            self._due[issuer] = deque(token for _, token in sorted(tokens.values(), key=lambda one: one[0]))
            self._fill(issuer)

    def _fill(self, issuer: str) -> None:
        """Ask about as many as may be at once. Those left over when the watch looks again are found again."""
        if self._filling:
            return
        self._filling = True
        introspection, asked, due = self._introspections[issuer], self._asked[issuer], self._due[issuer]
        while due and len(asked) < AT_ONCE and not introspection.breaker.refusing:
            token = due.popleft()
            asked.add(token.digest)
            asking = Deferred.fromCoroutine(self._asking(introspection, token))
            asking.addErrback(self._failed).addBoth(self._answered, issuer, token)
        self._filling = False

    async def _asking(self, introspection: Introspection, token: ShownToken) -> None:
        try:
            verdict = await introspection.verdict(token)
        except ServerError:
            # None can be had, and the one before is too old to count.
            self._close(set(), {token.digest})
        else:
            if not verdict.active:
                self._close({token.digest}, set())

    def _failed(self, failure: Failure) -> None:
        log.failure("a token could not be asked about", failure)

    def _answered(self, result: object, issuer: str, token: ShownToken) -> None:
        self._asked[issuer].discard(token.digest)
        self._fill(issuer)

    def _close(self, inactive: Set[bytes], outdated: Set[bytes]) -> None:
        if inactive:
            self._end(inactive, CloseCode.TOKEN_REVOKED, "the token has been revoked")
        if outdated:
            self._end(outdated, CloseCode.TRY_AGAIN_LATER, "tokens cannot be verified now")
