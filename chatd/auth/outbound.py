"""Asking an auth service over HTTPS, and believing nothing of it before it is whole.

TLS is verified, by name too. An answer has status 200, comes from where it was asked for, unencoded, within the time
and below the size that are allowed. Anything else is :exc:`AuthServiceFailed`, and the connection is cut.
"""

# Twisted's classes are only partly annotated.
# mypy: allow-untyped-calls

from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, NoReturn
from urllib.parse import quote_plus

import treq.client
from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from chatd.records.base import Record

MAX_BYTES: Final = 262_144
"""The largest answer that is read."""
KEPT_CONNECTIONS: Final = 16
KEPT_SECONDS: Final = 20
"""How many connections to a service are kept for the next question, and for how long."""


class AuthServiceFailed(Exception):
    """An auth service gave no answer that can be used. The text says why, for the log, and quotes nothing."""


class Answer(Record, frozen=True, kw_only=True, gc=False):
    """What came with status 200."""

    body: bytes
    cache_control: str


class Outbound:
    """Asks through ``agent``; times are in seconds by ``reactor``."""

    def __init__(self, reactor: Any, agent: IAgent, *, max_bytes: int = MAX_BYTES) -> None:
        self._reactor = reactor
        self._max_bytes = max_bytes
        # Redirects and cookies would be decided on by whoever answers.
        cookies: Any = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        self._client = treq.client.HTTPClient(_Unencoded(agent), cookies)

    async def get(self, url: str, *, timeout: float) -> Answer:
        """What stands at ``url``. Raises AuthServiceFailed."""
        return await self._answer(timeout, lambda: self._ask("GET", url))

    async def post(self, url: str, form: Mapping[str, str], *, user: str, password: str, timeout: float) -> Answer:
        """What is answered to a form, asked by a client with a name and a password. Raises AuthServiceFailed.

        Both are encoded as in RFC 6749, section 2.3.1.
        """
        auth = (quote_plus(user), quote_plus(password))
        return await self._answer(timeout, lambda: self._ask("POST", url, data=dict(form), auth=auth))

    async def _answer(self, timeout: float, ask: Callable[[], Any]) -> Answer:
        asking: Deferred[Answer] = Deferred.fromCoroutine(ask())
        try:
            return await asking.addTimeout(timeout, self._reactor, onTimeoutCancel=_too_late)
        except AuthServiceFailed:
            raise
        except Exception as error:
            # An edge: what can go wrong out there has many names, and means the same here.
            raise AuthServiceFailed(_words(error)) from error

    async def _ask(self, method: str, url: str, **more: Any) -> Answer:
        response = await self._client.request(
            method,
            url,
            headers=Headers({b"Accept": [b"application/json"], b"User-Agent": [b"chatd"]}),
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
            **more,
        )
        if response.code != 200:
            response.deliverBody(_Cut())
            raise AuthServiceFailed(f"status {response.code}")
        body = _Body(self._max_bytes)
        response.deliverBody(body)
        caching = response.headers.getRawHeaders("Cache-Control", [])
        return Answer(body=await body.whole, cache_control=", ".join(caching))


def _too_late(result: object, seconds: float) -> NoReturn:
    raise AuthServiceFailed(f"no whole answer within {seconds:g} s")


def verifying_agent(
    reactor: Any, authorities: Any | None, *, timeout: float
) -> tuple[IAgent, Callable[[], Deferred[None]]]:
    """An agent that verifies TLS against ``authorities``, with None those of the system; and its end.

    ``timeout`` is for connecting.
    """
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = KEPT_CONNECTIONS
    pool.cachedConnectionTimeout = KEPT_SECONDS
    # A question that was lost is asked again by whoever asks, who counts it.
    pool.retryAutomatically = False
    policy = BrowserLikePolicyForHTTPS(authorities)
    return Agent(reactor, policy, connectTimeout=timeout, pool=pool), pool.closeCachedConnections


def root_of_trust(pem: bytes) -> Any:
    """These certificates. Raises `ValueError` where there are none."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ValueError("holds no certificate in PEM") from error
    return ssl.trustRootFromCertificates([ssl.Certificate(X509.from_cryptography(one)) for one in found])


@implementer(IAgent)
class _Unencoded:
    """An agent that neither asks for compressed answers, as treq does, nor takes one: they may unpack to any size."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> "Deferred[IResponse]":
        """See :class:`~twisted.web.iweb.IAgent`."""
        plain = Headers() if headers is None else headers.copy()
        plain.setRawHeaders(b"Accept-Encoding", [b"identity"])
        asking: Deferred[IResponse] = self._agent.request(method, uri, plain, bodyProducer)
        return asking.addCallback(self._unencoded)

    def _unencoded(self, response: Any) -> Any:
        encodings = response.headers.getRawHeaders(b"Content-Encoding", [])
        if any(encoding.strip().lower() != b"identity" for encoding in encodings):
            response.deliverBody(_Cut())
            raise AuthServiceFailed("the answer is encoded")
        return response


class _Cut(Protocol):
    """Takes a body that nobody wants, and cuts the connection."""

    def connectionMade(self) -> None:
        _cut(self)

    def dataReceived(self, data: bytes) -> None:
        """What was under way already."""


class _Body(Protocol):
    """Gathers at most so many bytes; ``whole`` fires with them, and cutting the connection is how it is cancelled."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self.whole: Deferred[bytes] = Deferred(lambda cancelled: _cut(self))

    def dataReceived(self, data: bytes) -> None:
        if self.whole.called:
            return
        self._size += len(data)
        self._parts.append(data)
        if self._size > self._limit:
            _cut(self)
            if not self.whole.called:
                self.whole.errback(AuthServiceFailed(f"more than {self._limit} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # A body whose end is the connection's may be cut short: what reads it sees that.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._parts))
        else:
            self.whole.errback(reason)


def _cut(protocol: Protocol) -> None:
    """Let go of a connection at once.

    Twisted hands bodies a proxy for their transport that can only close politely; and a peer that hangs never answers
    TLS's goodbye.
    """
    transport: Any = protocol.transport
    real = getattr(transport, "_producer", None) or transport
    abort = getattr(real, "abortConnection", None)
    if abort is not None:
        abort()
    elif real is not None:
        real.loseConnection()


def _words(error: BaseException) -> str:
    """The kinds of what went wrong, and of what lay beneath. Messages are left out: they may quote."""
    reasons = getattr(error, "reasons", None) or []
    beneath = [_words(reason.value) for reason in reasons if isinstance(reason, Failure) and reason.value]
    name = type(error).__name__
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        beneath += [str(entry[-1]) for entry in error.args[0] if entry]
    return f"{name} ({'; '.join(beneath)})" if beneath else name
