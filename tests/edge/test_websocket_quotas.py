"""Whom WebSockets count for, whichever way it is told: rates, guesses and connections."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chatd.edge.handshake import Handshake
from chatd.edge.sockets import TOO_MANY_MS
from chatd.edge.websocket import ConnectionFactory
from chatd.handlers.liveness import Liveness
from chatd.router import Router
from tests.edge.test_upgrade import HANDSHAKE
from tests.kit.raw import TEXT, frame
from tests.kit.visitor import Visitor, World, request, settings
from tests.kit.world import NOON

HERE, THERE, PROXY = "192.0.2.1", "192.0.2.2", "198.51.100.1"


class Connections:
    """chatd's own WebSockets, made once the way in is there."""

    factory: ConnectionFactory

    async def shake_hands(
        self, headers: Mapping[str, str], offered: Sequence[str], secure: bool, client: str
    ) -> Handshake:
        return await self.factory.shake_hands(headers, offered, secure, client)

    def buildProtocol(self, addr: Any) -> Any:
        return self.factory.buildProtocol(addr)


class Talk:
    """One WebSocket of a client's, over a connection of the proxy's."""

    def __init__(self, world: World, client: str, **headers: str) -> None:
        self.visitor = Visitor(world.site, PROXY)
        transport = self.visitor.transport
        # A socket does not mind to be told twice.
        transport.unregisterProducer = lambda: setattr(transport, "producer", None)  # type: ignore[method-assign]
        asked = HANDSHAKE | {"Sec_WebSocket_Protocol": "chatd.v1.json", "X_Forwarded_For": client} | headers
        self.visitor.send(request("GET", "/v1/ws", **asked))
        self.status = int(self.visitor.received.split(b" ", 2)[1])

    def say(self, **message: object) -> dict[str, Any]:
        """Send it, and take the first answer."""
        self.visitor.transport.clear()
        self.visitor.send(frame(TEXT, json.dumps(message).encode()))
        data = self.visitor.received
        length, start = (data[1], 2) if data[1] < 126 else (int.from_bytes(data[2:4], "big"), 4)
        answer: dict[str, Any] = json.loads(data[start : start + length])
        return answer


def world(**sections: Any) -> World:
    """A way in to the command ``ping`` behind a trusted proxy."""
    made: list[World] = []
    router = Router(
        [Liveness(lambda: NOON)],
        lambda name, error, caller: None,
        limit=lambda allowance, declaration: made[0].throttle.refusal(allowance, declaration),
    )
    connections = Connections()
    made.append(
        World(router=router, websockets=connections, settings=settings(proxies={"trusted": [PROXY]}, **sections))
    )
    connections.factory = ConnectionFactory(made[0].site.gateway)
    return made[0]


def test_guesses_count_for_the_client() -> None:
    guessed = world(rates={"failed_auth": "0.001/s burst 2"})
    codes = [Talk(guessed, HERE, Authorization="").say(id=1, type="auth", token="guess") for _ in range(3)]
    assert [answer["error"]["code"] for answer in codes] == ["unauthorized", "unauthorized", "rate_limited"]
    assert Talk(guessed, HERE).status == 429
    assert Talk(guessed, THERE, Authorization="").say(id=1, type="auth", token="token-of-alice")["type"] == "hello"


def test_commands_count_for_the_client_and_so_did_the_handshake() -> None:
    crowd = world(rates={"address": "0.001/s burst 3"})
    here, there = Talk(crowd, HERE), Talk(crowd, THERE)
    assert [here.say(id=number, type="ping")["type"] for number in range(3)] == ["ok", "ok", "error"]
    assert there.say(id=1, type="ping")["type"] == "ok"
    assert Talk(crowd, HERE).status == 429


def test_a_client_has_so_many_websockets_and_one_that_ends_makes_room() -> None:
    crowd = world(limits={"max_connections_per_address": 1})
    first = Talk(crowd, HERE)
    assert [first.status, Talk(crowd, HERE).status, Talk(crowd, THERE).status] == [101, 429, 101]
    first.visitor.hang_up()
    assert Talk(crowd, HERE).status == 101


def test_a_person_has_so_many_websockets_and_one_that_ends_makes_room() -> None:
    crowd = world(limits={"max_connections_per_user": 1})
    first = Talk(crowd, HERE)
    refused = Talk(crowd, THERE)
    assert [first.status, refused.status] == [101, 429]
    assert refused.visitor.answer().problem["retry_after_ms"] == TOO_MANY_MS
    # A request of theirs is no WebSocket, and the connection on which they asked for one is still good.
    assert refused.visitor.ask("GET", "/v1/ping", X_Forwarded_For=THERE).status == 200
    first.visitor.hang_up()
    assert Talk(crowd, THERE).status == 101


def test_so_has_a_person_who_shows_the_token_in_a_message() -> None:
    crowd = world(limits={"max_connections_per_user": 1})
    first, second = (Talk(crowd, client, Authorization="") for client in (HERE, THERE))
    assert first.say(id=1, type="auth", token="token-of-alice")["type"] == "hello"
    error = second.say(id=1, type="auth", token="token-of-alice")["error"]
    assert (error["code"], error["status"], error["retry_after_ms"]) == ("rate_limited", 429, TOO_MANY_MS)
    assert crowd.admission.people.refused == 1
    # Fresh tokens on a connection that counts take no room, and somebody else has their own.
    assert first.say(id=2, type="auth", token="token-of-alice")["type"] == "hello"
    assert Talk(crowd, HERE, Authorization="").say(id=1, type="auth", token="token-of-bob")["type"] == "hello"
    second.visitor.hang_up()
    first.visitor.hang_up()
    assert Talk(crowd, HERE).status == 101
