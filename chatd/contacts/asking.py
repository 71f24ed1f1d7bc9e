"""The product asked over HTTP whether one person may contact another.

The question is a POST of ``{"user": ..., "other": ..., "purpose": "direct"}`` as JSON, with the secret as a bearer
token where there is one. The answer is 200 with ``{"allowed": true}`` or ``{"allowed": false}``, as
``application/json``, not compressed, and within ANSWER_BYTES. Anything else is no answer: another status, a redirect
(which is not followed, since it could lead anywhere), HTML, an empty or a huge body, or nothing in time.

Each question has a connection of its own. They are rare, and one that stalls can be cut off whatever it waits for.
"""

# Twisted's web client is only partly annotated.
# mypy: allow-untyped-calls

from collections import OrderedDict
from typing import Any, Final

import msgspec
import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from chatd.errors import Unavailable
from chatd.interfaces.people import IContacts, Purpose
from chatd.settings.model import Contacts

log = Logger()

ANSWER_BYTES: Final = 4096
REMEMBERED: Final = 10_000
"""How many answers are kept."""
WAITING: Final = 1000
"""How many questions may wait for their turn."""


class Question(msgspec.Struct, frozen=True):
    """What the product is asked."""

    user: str
    other: str
    purpose: Purpose


class Answer(msgspec.Struct, frozen=True):
    """What it answers; more than this may stand beside it."""

    allowed: bool


class NoAnswer(Exception):
    """What came was no answer, or there was no time to ask."""


@implementer(IContacts)
class AskedContacts:
    """See :class:`~chatd.interfaces.people.IContacts`.

    Answers are kept for as long as ``settings`` say. ``trust_root`` is who signs the product's certificate; None for
    whom the system trusts.
    """

    def __init__(self, settings: Contacts, reactor: Any, *, trust_root: Any = None) -> None:
        self._settings = settings
        self._reactor = reactor
        self._tls = BrowserLikePolicyForHTTPS(trust_root)
        self._turns = DeferredSemaphore(settings.max_in_flight)
        self._answers: OrderedDict[Question, tuple[bool, float]] = OrderedDict()
        self._failures = 0

    async def allows(self, user: str, other: str, purpose: Purpose) -> bool:
        """See :class:`~chatd.interfaces.people.IContacts`."""
        question = Question(user, other, purpose)
        allowed, until = self._answers.get(question, (False, 0.0))
        if self._reactor.seconds() < until:
            return allowed
        try:
            asking = Deferred.fromCoroutine(self._in_turn(question))
            allowed = await asking.addTimeout(self._settings.timeout, self._reactor)
        except Exception as error:
            # An edge: whatever goes wrong between here and the product, there is no answer.
            return self._without_answer(error)
        self._failures = 0
        self._remember(question, allowed)
        return allowed

    async def _in_turn(self, question: Question) -> bool:
        if len(self._turns.waiting) >= WAITING:
            raise NoAnswer("too many questions wait")
        await self._turns.acquire()
        try:
            return await self._ask(question)
        finally:
            self._turns.release()

    async def _ask(self, question: Question) -> bool:
        connection = _Connection(self._reactor)
        agent = Agent(self._reactor, self._tls, connectTimeout=self._settings.timeout, pool=connection)
        headers = Headers({"Content-Type": ["application/json"]})
        if self._settings.secret:
            headers.setRawHeaders("Authorization", [f"Bearer {self._settings.secret.reveal()}"])
        try:
            # A client of its own for each question: it would keep cookies.
            response = await HTTPClient(_Uncompressed(agent)).post(
                self._settings.url,
                headers=headers,
                data=msgspec.json.encode(question),
                allow_redirects=False,
                unbuffered=True,
            )
            return await _read(response)
        finally:
            connection.cut()

    def _without_answer(self, error: Exception) -> bool:
        self._failures += 1
        # The 1st, 2nd, 4th, 8th in a row, so that a long outage does not fill a disk.
        if self._failures & (self._failures - 1) == 0:
            reason = f"{type(error).__name__}: {error}"
            log.warn("the product does not say who may contact whom: {reason}", reason=reason, failures=self._failures)
        if self._settings.when_down == "allow":
            return True
        raise Unavailable(
            "Whether you may contact this person cannot be found out now; nothing was changed. Send it again.",
            retry_after_ms=1000,
        ) from error

    def _remember(self, question: Question, allowed: bool) -> None:
        self._answers[question] = allowed, self._reactor.seconds() + self._settings.cache_seconds
        self._answers.move_to_end(question)
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)


async def _read(response: Any) -> bool:
    """What a response answers; raises NoAnswer where it is none."""
    if response.code != 200:
        raise NoAnswer(f"status {response.code}")
    media_types = response.headers.getRawHeaders("Content-Type", [""])
    if media_types[-1].partition(";")[0].strip().lower() != "application/json":
        raise NoAnswer("it is not application/json")
    body = bytearray()

    def take(data: bytes) -> None:
        body.extend(data)
        if len(body) > ANSWER_BYTES:
            raise NoAnswer(f"it has more than {ANSWER_BYTES} bytes")

    await treq.collect(response, take)
    try:
        return msgspec.json.decode(body, type=Answer).allowed
    except msgspec.DecodeError:
        raise NoAnswer('it is not {"allowed": true} or {"allowed": false}') from None


class _Connection(HTTPConnectionPool):
    """The connection of one question."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, persistent=False)
        self._open: Any = None

    def getConnection(self, key: Any, endpoint: Any) -> Any:
        return super().getConnection(key, endpoint).addCallback(self._opened)

    def _opened(self, protocol: Any) -> Any:
        self._open = protocol
        return protocol

    def cut(self) -> None:
        """Leave nothing of it, whatever the other side still does."""
        if self._open is not None and self._open.transport is not None:
            self._open.transport.abortConnection()


@implementer(IAgent)
class _Uncompressed:
    """Has treq neither ask for compression nor undo it: what a few bytes unfold to could be of any size."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        plain = Headers() if headers is None else headers.copy()
        plain.setRawHeaders(b"Accept-Encoding", [b"identity"])
        return self._agent.request(method, uri, plain, bodyProducer).addCallback(_check_uncompressed)


def _check_uncompressed(response: IResponse) -> IResponse:
    if response.headers.hasHeader(b"Content-Encoding"):
        raise NoAnswer("it is compressed")
    return response
