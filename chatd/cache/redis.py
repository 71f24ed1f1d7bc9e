"""A cache in Redis, which all workers of an installation share.

Nobody waits for Redis longer than the fraction of a second that ``timeout`` says. One that does not answer in time, or
not with what was asked for, a few times in a row is left alone for a while: see :mod:`chatd.security.breaker`.
"""

# Failure's methods are not annotated.
# mypy: allow-untyped-calls

import random as chance
from collections.abc import Callable, Sequence
from typing import Any, Final

import txredisapi
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.interfaces.cache import ICache
from chatd.redis.address import ANSWER_SECONDS, RedisAddress
from chatd.redis.session import Session
from chatd.security.breaker import Breaker
from chatd.store.slot import backoff

log = Logger()

MAX_UNREAD: Final = 1 << 20
"""How much may come of one reply before the connection is given up: far more than is ever put and asked for at once."""

MAX_PENDING: Final = 1000
"""Commands that may wait for their replies; above that Redis is slow, and is not asked."""


@implementer(ICache)
class RedisCache:
    """See :class:`~chatd.interfaces.cache.ICache`. It has a connection from ``start`` to ``stop``, whenever it can.

    ``prefix`` begins the names of all keys; ``timeout`` is how many seconds an answer is waited for.
    """

    def __init__(
        self,
        reactor: Any,
        way: IStreamClientEndpoint,
        address: RedisAddress,
        *,
        prefix: str,
        timeout: float,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self._reactor = reactor
        self._way = way
        self._address = address
        self._prefix = f"{prefix}:cache:"
        self._timeout = timeout
        self._random = random
        self._breaker = Breaker(reactor.seconds)
        self._running = False
        self._task: Deferred[None] | None = None
        self._session: Session | None = None
        self._pending = 0
        self.failures = 0

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._session is not None

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._running = True
        self._task = Deferred.fromCoroutine(self._tend())
        self._task.addErrback(_ended)

    def stop(self) -> None:
        """Have no connection any more."""
        self._running = False
        if self._session is not None:
            self._session.end()
        if self._task is not None:
            self._task.cancel()

    async def _tend(self) -> None:
        failures = 0
        while self._running:
            since = self._reactor.seconds()
            try:
                await self._live()
            except (txredisapi.RedisError, ConnectError, OSError) as error:
                reason = str(error)
            except CancelledError:
                raise
            except Exception:  # an edge: a worker would be without its cache for as long as it lives
                log.failure("the cache failed")
                reason = "see above"
            else:
                reason = "its connection ended"
            failures = 1 if self._reactor.seconds() - since > ANSWER_SECONDS else failures + 1
            if self._running:
                if failures & (failures - 1) == 0:
                    log.warn("the cache is without Redis: {reason}", reason=reason, failures=failures)
                await deferLater(self._reactor, backoff(failures, self._random))

    async def _live(self) -> None:
        """One connection, from its beginning to its end."""
        session = Session(MAX_UNREAD)
        await self._way.connect(Factory.forProtocol(lambda: session))
        try:
            await session.introduce(self._address)
            log.info("the cache is linked to Redis")
            self._session, self._pending = session, 0
            await session.ended
        finally:
            self._session = None
            session.end()

    async def get(self, names: Sequence[str]) -> list[bytes | None]:
        """See :class:`~chatd.interfaces.cache.ICache`."""
        found = await self._asked(names) if names and self._can_be_asked() and self._breaker.admit() else None
        return [None] * len(names) if found is None else found

    def _can_be_asked(self) -> bool:
        return self._session is not None and self._pending < MAX_PENDING

    async def _asked(self, names: Sequence[str]) -> list[bytes | None] | None:
        """What Redis says, or None where it says nothing, or nonsense. The breaker hears of it, whatever happens."""
        found = None
        heard: Deferred[Any] = Deferred()
        self._send("mget", [self._prefix + name for name in names]).addBoth(_pass_on, heard)
        try:
            found = _values(await heard.addTimeout(self._timeout, self._reactor), len(names))
        except (txredisapi.RedisError, TimeoutError):
            pass
        finally:
            if found is None:
                self.failures += 1
                self._breaker.failed()
            else:
                self._breaker.succeeded()
        return found

    def put(self, name: str, value: bytes, seconds: float) -> None:
        """See :class:`~chatd.interfaces.cache.ICache`."""
        if self._can_be_asked() and not self._breaker.refusing:
            self._tell("set", self._prefix + name, value, pexpire=max(1, round(seconds * 1000)))

    def forget(self, names: Sequence[str]) -> None:
        """See :class:`~chatd.interfaces.cache.ICache`."""
        if names and self._can_be_asked():
            self._tell("delete", [self._prefix + name for name in names])

    def _tell(self, command: str, *arguments: Any, **options: Any) -> None:
        self._send(command, *arguments, **options).addErrback(self._note_failure)

    def _note_failure(self, failure: Failure) -> None:
        failure.trap(txredisapi.RedisError)
        self.failures += 1

    def _send(self, command: str, *arguments: Any, **options: Any) -> Deferred[Any]:
        """One command, which is pending until it is answered or its connection ends."""
        session = self._session
        self._pending += 1
        # It raises at once where the connection has just ended.
        sent: Deferred[Any] = maybeDeferred(getattr(session, command), *arguments, **options)
        return sent.addBoth(self._answered, session)

    def _answered(self, reply: Any, session: Any) -> Any:
        if session is self._session:
            self._pending -= 1
        return reply


def _pass_on(reply: Any, heard: Deferred[Any]) -> None:
    """To whoever still waits. What is asked is not cancelled: txredisapi would no longer notice a dead connection."""
    if not heard.called:
        heard.callback(reply)


def _values(reply: Any, number: int) -> list[bytes | None] | None:
    if not isinstance(reply, list) or len(reply) != number:
        return None
    return [value if isinstance(value, bytes) else None for value in reply]


def _ended(failure: Failure) -> None:
    if not isinstance(failure.value, CancelledError):
        log.failure("the cache ended", failure)
