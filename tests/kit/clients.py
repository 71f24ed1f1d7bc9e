"""Clients of a real server: the ``websockets`` library, Autobahn and plain HTTP. They read what comes and no more."""

import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import msgspec
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import HostnameEndpoint
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.kit.waiting import WITHIN_S

JSON = "chatd.v1.json"
MSGPACK = "chatd.v1.msgpack"

Message = dict[str, Any]


def headers(token: str | None, device: str | None) -> dict[str, str]:
    """Those that say who connects."""
    return ({"Authorization": f"Bearer {token}"} if token else {}) | ({"Chatd-Device": device} if device else {})


def _encode(message: Message, subprotocol: str) -> str | bytes:
    return json.dumps(message) if subprotocol == JSON else msgspec.msgpack.encode(message)


def _decode(payload: str | bytes) -> Message:
    found = json.loads(payload) if isinstance(payload, str) else msgspec.msgpack.decode(payload)
    assert isinstance(found, dict)
    return found


class Client:
    """A connection by the ``websockets`` library. Replies are found by their ids, events keep their order."""

    def __init__(
        self, url: str, token: str | None = None, *, device: str | None = None, subprotocol: str = JSON, **options: Any
    ) -> None:
        self._subprotocol = subprotocol
        self._ids = count(1)
        self._replies: dict[int | None, Message] = {}
        self._events: deque[Message] = deque()
        patience = {"open_timeout": WITHIN_S, "close_timeout": WITHIN_S, "ping_interval": None}
        options = {"compression": None, "max_queue": None, "max_size": None, **patience, **options}
        self._connecting = connect(
            url,
            subprotocols=[subprotocol],
            additional_headers=headers(token, device),
            **options,
        )
        self.socket = self._connecting.__enter__()
        self.hello = self.event() if token else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, type: str, **fields: Any) -> int:
        """Send a command and wait for nothing; give its id."""
        id = next(self._ids)
        self.socket.send(_encode({"id": id, "type": type, **fields}, self._subprotocol))
        return id

    def _read(self, within: float) -> None:
        message = _decode(self.socket.recv(timeout=within))
        if "id" in message:
            self._replies[message["id"]] = message
        else:
            self._events.append(message)

    def reply(self, id: int | None, *, within: float = WITHIN_S) -> Message:
        """The reply to the command of that id; TimeoutError if nothing comes for so many seconds."""
        while id not in self._replies:
            self._read(within)
        return self._replies.pop(id)

    def has_reply(self, id: int) -> bool:
        """Whether it was read already, on the way to something else."""
        return id in self._replies

    def next_reply(self, *, within: float = WITHIN_S) -> Message:
        """Whichever reply is the next to come; TimeoutError if nothing comes for so many seconds."""
        while not self._replies:
            self._read(within)
        return self._replies.pop(next(iter(self._replies)))

    def ask(self, type: str, **fields: Any) -> Message:
        """Send a command and give its reply."""
        return self.reply(self.send(type, **fields))

    def event(self, *, within: float = WITHIN_S) -> Message:
        """The next event; TimeoutError if nothing comes for so many seconds."""
        while not self._events:
            self._read(within)
        return self._events.popleft()

    def events(self, number: int) -> list[Message]:
        """So many events."""
        return [self.event() for _ in range(number)]

    def read_events(self) -> list[Message]:
        """The events that were read on the way to a reply, and not asked for yet."""
        events = list(self._events)
        self._events.clear()
        return events

    def sync(self, **fields: Any) -> list[Message]:
        """What was missed: the events that come before the reply to ``sync``."""
        reply = self.ask("sync", **fields)
        assert reply["type"] == "ok", reply
        return self.read_events()

    def read_until_end(self) -> list[Message]:
        """The events that come before the connection ends, however it ends."""
        with suppress(ConnectionClosed):
            while True:
                self._read(WITHIN_S)
        return self.read_events()

    def closed(self, *, within: float = WITHIN_S) -> tuple[int, str]:
        """Read to the end: the close code and the reason. TimeoutError if nothing comes for so many seconds."""
        with suppress(ConnectionClosed):
            while True:
                self._read(within)
        code = self.socket.close_code
        assert code not in (None, 1006), "the connection ended without a close frame"
        return code, self.socket.close_reason or ""


class AutobahnClient(WebSocketClientProtocol):
    """A connection by Autobahn, as `autobahn_client` makes it; its methods are to be awaited."""

    factory: "_AutobahnFactory"
    hello: Message

    def onConnect(self, response: Any) -> None:
        self.messages: DeferredQueue[Message] = DeferredQueue()
        self.gone: Deferred[tuple[int | None, str | None]] = Deferred()
        self._ids = count(1)
        self._replies: dict[int, Message] = {}
        self._events: deque[Message] = deque()

    def onOpen(self) -> None:
        self.factory.opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.messages.put(_decode(payload if isBinary else payload.decode()))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self.factory.opened.called:
            self.gone.callback((code, reason))
        else:
            self.factory.opened.errback(ConnectionError(f"{code} {reason}"))

    async def _read(self) -> None:
        message = await self.messages.get().addTimeout(WITHIN_S, reactor)
        if "id" in message:
            self._replies[message["id"]] = message
        else:
            self._events.append(message)

    async def ask(self, type: str, **fields: Any) -> Message:
        """Send a command and give its reply."""
        id, subprotocol = next(self._ids), self.factory.protocols[0]
        payload = _encode({"id": id, "type": type, **fields}, subprotocol)
        self.sendMessage(payload.encode() if isinstance(payload, str) else payload, subprotocol == MSGPACK)
        while id not in self._replies:
            await self._read()
        return self._replies.pop(id)

    async def event(self) -> Message:
        """The next event."""
        while not self._events:
            await self._read()
        return self._events.popleft()

    async def close(self) -> None:
        self.sendClose(1000)
        await self.gone.addTimeout(WITHIN_S, reactor)


class _AutobahnFactory(WebSocketClientFactory):
    protocol = AutobahnClient
    opened: Deferred[AutobahnClient]


async def autobahn_client(
    url: str, token: str, *, device: str | None = None, subprotocol: str = JSON
) -> AutobahnClient:
    """Connect with Autobahn."""
    factory = _AutobahnFactory(url, protocols=[subprotocol], headers=headers(token, device))
    factory.opened = Deferred()
    address = urlsplit(url)
    await HostnameEndpoint(reactor, address.hostname, address.port).connect(factory)
    client = await factory.opened.addTimeout(WITHIN_S, reactor)
    client.hello = await client.event()
    return client


@dataclass(frozen=True)
class Response:
    """An HTTP response. ``body`` is its JSON."""

    status: int
    headers: dict[str, str]
    body: Message


class HttpClient:
    """Commands over plain HTTP, each on a connection of its own."""

    def __init__(
        self, url: str, token: str | None = None, *, device: str | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        self._address = urlsplit(url)
        self._headers = headers(token, device) | dict(more or {})

    def request(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Any request at all. ``body`` is sent as JSON."""
        connection = HTTPConnection(str(self._address.hostname), self._address.port, timeout=WITHIN_S)
        try:
            content_type = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, body, self._headers | content_type)
            response = connection.getresponse()
            return Response(response.status, dict(response.getheaders()), json.loads(response.read()))
        finally:
            connection.close()

    def get(self, path: str, **fields: Any) -> Response:
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in fields.items())
        return self.request("GET", f"{path}?{query}" if query else path)

    def post(self, path: str, **fields: Any) -> Response:
        return self.request("POST", path, json.dumps(fields).encode())
