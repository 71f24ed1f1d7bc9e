"""Asking one issuer about tokens (RFC 7662): cached, one question at a time for each token, never waited for long."""

import random
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Final

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.task import deferLater
from twisted.logger import Logger

from chatd.auth.flights import Flights
from chatd.auth.outbound import AuthServiceFailed, Outbound
from chatd.errors import Overloaded, Unavailable
from chatd.records.tokens import Claims, ShownToken
from chatd.security.breaker import Breaker
from chatd.security.introspection import NoAnswer, read_answer
from chatd.security.tokens import TokenRefused
from chatd.settings.issuers import IntrospectionSettings
from chatd.state.shared_verdicts import SharedVerdicts
from chatd.state.verdicts import Verdict, Verdicts

log = Logger()

TIMEOUT_SECONDS: Final = 3.0
RETRY_SECONDS: Final = (0.05, 0.25)
"""Between these a question that failed is put once more."""
AT_ONCE: Final = 16
MAX_WAITING: Final = 1000
"""How many questions are under way at once, and how many wait for their turn; more are refused."""

Vouch = Callable[[Mapping[str, object]], Claims]


class Introspection:
    """What one issuer says about its tokens.

    ``vouch`` makes claims of the answer about a token that says nothing by itself, and raises
    :exc:`~chatd.security.tokens.TokenRefused`. A verdict counts for ``settings.every_seconds``; while no other can be
    had, a good one goes on to count until it is ``max_staleness`` seconds old. With ``shared``, what another worker was
    told counts as well, for as long.
    """

    def __init__(
        self,
        issuer: str,
        settings: IntrospectionSettings,
        outbound: Outbound,
        vouch: Vouch,
        verdicts: Verdicts,
        reactor: Any,
        *,
        max_staleness: float,
        jitter: Callable[[], float] = random.random,
        shared: SharedVerdicts | None = None,
    ) -> None:
        self.issuer = issuer
        self.opaque = settings.opaque
        self._settings = settings
        self._outbound = outbound
        self._vouch = vouch
        self._verdicts = verdicts
        self._reactor = reactor
        self._max_staleness = max_staleness
        self._jitter = jitter
        self._shared = shared
        self._flights: Flights[bytes, Verdict] = Flights()
        self._turns = DeferredSemaphore(AT_ONCE)
        self.breaker = Breaker(reactor.seconds)
        self.questions = 0
        self.failures = 0

    def known(self, token: ShownToken) -> Verdict | None:
        """The latest verdict, however old."""
        return self._verdicts.get(token.digest)

    def counts(self, verdict: Verdict) -> bool:
        """Whether ``verdict`` is so fresh that nobody need be asked."""
        return self._age(verdict) < self._settings.every_seconds

    def outdated(self, verdict: Verdict) -> bool:
        """Whether ``verdict`` is so old that it does not count even where no other can be had."""
        return self._age(verdict) > max(self._max_staleness, self._settings.every_seconds)

    def _age(self, verdict: Verdict) -> float:
        now: float = self._reactor.seconds()
        return now - verdict.at

    async def verdict(self, token: ShownToken) -> Verdict:
        """What the issuer says, now or lately. Raises Unavailable or Overloaded where that cannot be told."""
        known = self.known(token)
        if known is not None and self.counts(known):
            return known
        try:
            if len(self._flights) >= AT_ONCE + MAX_WAITING and token.digest not in self._flights:
                raise Overloaded("Too many tokens wait to be looked up. Try again.", retry_after_ms=1000)
            return await self._flights.join(token.digest, lambda: self._find(token))
        except (Unavailable, Overloaded):
            if known is None or not known.active or self.outdated(known):
                raise
            return known

    async def _find(self, token: ShownToken) -> Verdict:
        shared = self._shared
        if shared is None:
            return await self._ask(token)
        verdict = await shared.get(token, self._reactor.seconds)
        if verdict is not None:
            self._verdicts.keep(token.digest, verdict)
            return verdict
        known, as_of = self.known(token), shared.now()
        verdict = await self._ask(token)
        if verdict.active:
            shared.keep(token, verdict, as_of)
        elif known is not None and known.active:
            shared.forget(token)
        return verdict

    async def _ask(self, token: ShownToken) -> Verdict:
        await self._turns.acquire()
        try:
            try:
                members = await self._question(token)
            except AuthServiceFailed:
                low, high = RETRY_SECONDS
                await deferLater(self._reactor, low + (high - low) * self._jitter())
                members = await self._question(token)
        except AuthServiceFailed:
            raise self._not_now() from None
        finally:
            self._turns.release()
        verdict = self._judge(members)
        self._verdicts.keep(token.digest, verdict)
        return verdict

    async def _question(self, token: ShownToken) -> Mapping[str, object] | None:
        """One question. Raises Unavailable where the breaker is against it, AuthServiceFailed where it was in vain."""
        if not self.breaker.admit():
            raise self._not_now()
        self.questions += 1
        try:
            answer = await self._outbound.post(
                self._settings.url,
                {"token": token.reveal(), "token_type_hint": "access_token"},
                user=self._settings.client_id,
                password=self._settings.client_secret.reveal(),
                timeout=TIMEOUT_SECONDS,
            )
            members = read_answer(answer.body)
        except (AuthServiceFailed, NoAnswer) as error:
            self.failures += 1
            self.breaker.failed()
            log.warn("{issuer} could not be asked about a token: {reason}", issuer=self.issuer, reason=str(error))
            raise AuthServiceFailed(str(error)) from error
        self.breaker.succeeded()
        return members

    def _judge(self, members: Mapping[str, object] | None) -> Verdict:
        now = self._reactor.seconds()
        if members is None:
            return Verdict(active=False, at=now)
        user = members.get("sub")
        return Verdict(
            active=True,
            at=now,
            user=user if isinstance(user, str) else None,
            claims=self._vouched(members) if self.opaque else None,
        )

    def _vouched(self, members: Mapping[str, object]) -> Claims | None:
        try:
            return self._vouch(members)
        except TokenRefused as refused:
            log.info("what {issuer} says of a token makes none: {reason}", issuer=self.issuer, reason=refused.reason)
            return None

    def _not_now(self) -> Unavailable:
        wait = max(self.breaker.retry_after, 1.0)
        return Unavailable(
            "The token's issuer cannot be asked about it now. Try again.", retry_after_ms=ceil(wait * 1000)
        )
