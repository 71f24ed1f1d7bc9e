"""An issuer's keys, fetched from where it publishes them: kept fresh, and kept while it is down."""

import random
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.auth.outbound import Answer, AuthServiceFailed, Outbound
from chatd.errors import Unavailable
from chatd.security.freshness import USUAL, lifetime, refresh_after, retry_after
from chatd.security.jwks import KeySet, KeySetError, strict_object
from chatd.settings.urls import fetch_problem

log = Logger()

GAP_SECONDS: Final = 5.0
"""How long at least lies between two fetches, whatever tokens are shown meanwhile."""
TIMEOUT_SECONDS: Final = 5.0
DISCOVERY: Final = "/.well-known/openid-configuration"

Fetch = Callable[[], Awaitable[Answer]]


class FetchedKeys:
    """Fetches one issuer's keys before they are too old, and when a token names one that is not among them.

    ``learned`` is told of each set that was fetched whole and is right; of anything else only the log is, and the last
    set goes on to be used. ``known`` is whether there is one. ``jitter`` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Fetch,
        learned: Callable[[KeySet], None],
        reactor: Any,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._learned = learned
        self._reactor = reactor
        self._jitter = jitter
        self._began_at: float | None = None
        self._fetching = False
        self._running = False
        self._waiting: list[Deferred[None]] = []
        self._next: Any = None
        self._failures = 0
        self.known = False
        self.fetches = 0
        self.failures = 0

    @property
    def failing(self) -> bool:
        """Whether the last fetch was in vain."""
        return self._failures > 0

    def start(self) -> None:
        """Fetch now, and from now on."""
        self._running = True
        if not self._fetching:
            self._begin()

    def stop(self) -> None:
        """Fetch no more."""
        self._running = False
        self._cancel()

    async def missing(self) -> None:
        """A token names a key that is not there: return once the set has been fetched anew.

        Raises Unavailable where that failed, or has been tried just now: nobody can make us fetch without end.
        """
        if not self._fetching:
            wait = 0.0 if self._began_at is None else self._began_at + GAP_SECONDS - self._reactor.seconds()
            if wait > 0:
                raise _not_now(wait)
            self._begin()
        if self._fetching:
            fetched: Deferred[None] = Deferred()
            self._waiting.append(fetched)
            await fetched
        if self._failures:
            raise _not_now(GAP_SECONDS)

    def _begin(self) -> None:
        self._cancel()
        self._began_at = self._reactor.seconds()
        self._fetching = True
        self.fetches += 1
        Deferred.fromCoroutine(self._fetch_once()).addErrback(self._unforeseen).addCallback(self._fetched)

    async def _fetch_once(self) -> float:
        """When to fetch again."""
        try:
            answer = await self._fetch()
            keys = KeySet.from_jwks(answer.body)
        except (AuthServiceFailed, KeySetError) as error:
            return self._failed(str(error))
        self._failures = 0
        self.known = True
        self._learned(keys)
        return refresh_after(lifetime(answer.cache_control), self._jitter())

    def _failed(self, reason: str) -> float:
        self._failures += 1
        self.failures += 1
        log.warn("the keys of {issuer} could not be fetched: {reason}", issuer=self._issuer, reason=reason)
        return retry_after(self._failures, self._jitter())

    def _unforeseen(self, failure: Failure) -> float:
        log.failure("the keys of {issuer} could not be fetched", failure, issuer=self._issuer)
        self._failures += 1
        self.failures += 1
        return USUAL

    def _fetched(self, again: float) -> None:
        self._fetching = False
        if self._running:
            self._next = self._reactor.callLater(again, self._begin)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def _cancel(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None


def _not_now(seconds: float) -> Unavailable:
    return Unavailable(
        "The keys of the token's issuer cannot be fetched now. Try again.", retry_after_ms=ceil(seconds * 1000)
    )


def from_url(outbound: Outbound, url: str) -> Fetch:
    """Fetches a JWK set from where the configuration says."""

    async def fetch() -> Answer:
        return await outbound.get(url, timeout=TIMEOUT_SECONDS)

    return fetch


def by_discovery(outbound: Outbound, issuer: str) -> Fetch:
    """Fetches a JWK set from where ``issuer`` says (OpenID Connect Discovery 1.0, section 4).

    It is asked each time: the address may change along with the keys.
    """

    async def fetch() -> Answer:
        described = await outbound.get(issuer.rstrip("/") + DISCOVERY, timeout=TIMEOUT_SECONDS)
        return await outbound.get(_jwks_uri(issuer, described.body), timeout=TIMEOUT_SECONDS)

    return fetch


def _jwks_uri(issuer: str, body: bytes) -> str:
    members = strict_object(body)
    if members is None:
        raise AuthServiceFailed("the configuration that it publishes is not one strict JSON object")
    if members.get("issuer") != issuer:
        raise AuthServiceFailed("the configuration that it publishes is another issuer's")
    uri = members.get("jwks_uri")
    if not isinstance(uri, str) or fetch_problem(uri) is not None:
        raise AuthServiceFailed("the jwks_uri that it publishes is none that may be fetched")
    if urlsplit(issuer).scheme == "https" and urlsplit(uri).scheme != "https":
        raise AuthServiceFailed("the jwks_uri that it publishes leads away from https")
    return uri
