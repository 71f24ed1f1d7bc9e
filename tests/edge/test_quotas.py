"""What is refused before anything else is looked at, and how HTTP tells how much is left."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from zope.interface import alsoProvides

from chatd.edge import quotas
from chatd.edge.site import LONGEST_LINE_S, RETRY_AFTER_MS
from chatd.edge.turning_away import MOST_FAREWELLS, MOST_OF_ONE, TurnedAway
from chatd.handlers.liveness import Liveness
from chatd.router import Router
from chatd.security.limits import Rate, Standing
from tests.edge.test_upgrade import HANDSHAKE
from tests.kit.visitor import Visitor, World, parsed, request, settings
from tests.kit.world import NOON

HERE, THERE, PROXY = "192.0.2.1", "192.0.2.2", "198.51.100.1"
GUESS = "Bearer guess"


def world(*, behind_proxy: bool = False, trusted: Sequence[str] = (), **rates: str) -> World:
    """A way in to the command ``ping``, with these rates."""
    made: list[World] = []
    router = Router(
        [Liveness(lambda: NOON)],
        lambda name, error, caller: None,
        limit=lambda allowance, declaration: made[0].throttle.refusal(allowance, declaration),
    )
    given = msgspec.structs.replace(
        settings(rates=rates, proxies={"trusted": list(trusted)}), behind_proxy=behind_proxy
    )
    made.append(World(router=router, settings=given))
    return made[0]


def ping(visitor: Visitor, **headers: str) -> Any:
    return visitor.ask("GET", "/v1/ping", **headers)


# -- the header fields --


@pytest.mark.parametrize(
    ("rate", "left", "next_in", "policy", "limit"),
    [
        (Rate(burst=500, per_second=100), 500, 0, b'"write";q=500;w=5', b'"write";r=500'),
        (Rate(burst=500, per_second=100), 0, 3, b'"write";q=500;w=5', b'"write";r=0;t=3'),
        (Rate(burst=1, per_second=1000), 1, 0, b'"write";q=1;w=1', b'"write";r=1'),
        (Rate(burst=10, per_second=0.3), 9, 4, b'"write";q=10;w=34', b'"write";r=9;t=4'),
    ],
)
def test_a_standing_is_told_as_the_draft_says(rate: Rate, left: int, next_in: int, policy: bytes, limit: bytes) -> None:
    standing = Standing(limit="write", rate=rate, left=left, next_in=next_in)
    assert quotas.fields(standing) == [(b"RateLimit-Policy", policy), (b"RateLimit", limit)]


def test_each_answer_tells_what_is_left_and_a_refusal_when_there_is_more() -> None:
    alices = world(passing="0.5/s burst 2")
    visitor = alices.visitor()
    left = [ping(visitor).headers["RateLimit"] for _ in range(2)]
    assert left == ['"passing";r=1;t=2', '"passing";r=0;t=2']
    refused = ping(visitor)
    assert (refused.status, refused.code, refused.problem["retryable"]) == (429, "rate_limited", True)
    assert refused.headers["RateLimit-Policy"] == '"passing";q=2;w=4'
    assert refused.headers["RateLimit"] == '"passing";r=0;t=2'
    assert int(refused.headers["Retry-After"]) == 3  # two seconds and a millisecond, rounded up
    alices.clock.advance(refused.problem["retry_after_ms"] / 1000)
    assert ping(visitor).status == 200


def test_where_nothing_is_limited_nothing_is_told() -> None:
    assert "RateLimit" not in ping(world(passing="off").visitor()).headers


def test_pages_of_other_origins_may_read_what_is_left() -> None:
    answer = ping(world().visitor(), Origin="http://chat.example.com")
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)


# -- by address --


def test_requests_from_one_address_are_limited_before_their_token_is_looked_at() -> None:
    crowd = world(address="1/s burst 3")
    visitor = crowd.visitor(HERE)
    assert [ping(visitor).status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert len(crowd.verifier.asked) == 3
    assert ping(crowd.visitor(HERE)).headers["RateLimit-Policy"] == '"address";q=3;w=3'
    assert ping(crowd.visitor(THERE)).status == 200
    assert crowd.visitor(HERE).ask("GET", "/readyz").status == 200


def test_behind_a_trusted_proxy_each_client_is_limited_by_itself() -> None:
    crowd = world(behind_proxy=True, trusted=[PROXY], address="1/s burst 2", connects_per_address="1/s burst 1")
    proxy = crowd.visitor(PROXY)
    headers = [{"X_Forwarded_For": client} for client in (HERE, HERE, HERE, THERE)]
    assert [ping(proxy, **one).status for one in headers] == [200, 200, 429, 200]
    assert ping(crowd.visitor(PROXY), X_Forwarded_For=THERE).status == 200


def test_so_are_handshakes() -> None:
    crowd = world(address="1/s burst 1")
    crowd.ask("GET", "/v1/ws")
    answer = crowd.ask("GET", "/v1/ws", **HANDSHAKE)
    assert (answer.status, answer.headers["RateLimit-Policy"]) == (429, '"address";q=1;w=1')
    assert crowd.verifier.asked == []


EVIL = {"Origin": "https://evil.example"}


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("GET", "/v1/openapi.json", {}, 200),
        ("HEAD", "/v1/asyncapi.json", {}, 200),
        ("GET", "/", {}, 200),
        ("OPTIONS", "/", {}, 204),
        ("GET", "/favicon.ico", {}, 404),
        ("GET", "/v1/nothing", {}, 404),
        ("OPTIONS", "/v1/ping", {}, 204),
        ("GET", "/v1/ws", {}, 426),
        ("GET", "/v1/ping", EVIL, 403),
        ("OPTIONS", "/v1/ping", EVIL, 403),
    ],
)
def test_so_is_whatever_else_is_asked_for(method: str, target: str, headers: dict[str, str], status: int) -> None:
    visitor = world(address="1/s burst 2").visitor()
    answers = [visitor.ask(method, target, Authorization="", **headers).status for _ in range(4)]
    assert answers == [status, status, 429, 429]


def test_a_page_may_read_that_its_address_has_to_wait_if_it_may_ask_at_all() -> None:
    crowd = world(address="1/s burst 1")
    ping(crowd.visitor())
    page = "http://chat.example.com"
    for origin, told in ((page, page), (EVIL["Origin"], None)):
        answer = ping(crowd.visitor(), Origin=origin)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (429, told)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_however_often(path: str) -> None:
    """Whoever asks for it may share an address with somebody who floods, and would take the worker for dead."""
    crowd = world(address="1/s burst 1")
    assert {crowd.visitor().ask("GET", path).status for _ in range(20)} == {200}


def test_a_guesser_is_refused_before_the_token_is_looked_at() -> None:
    guessed = world(failed_auth="1/s burst 3")
    visitor = guessed.visitor(HERE)
    assert [ping(visitor, Authorization=GUESS).status for _ in range(5)] == [401, 401, 401, 429, 429]
    assert ping(visitor).status == 429
    assert len(guessed.verifier.asked) == 3
    assert ping(guessed.visitor(THERE)).status == 200
    guessed.clock.advance(1)
    assert ping(visitor).status == 200


def test_a_token_that_holds_is_no_guess() -> None:
    honest = world(failed_auth="1/s burst 1")
    assert {ping(honest.visitor()).status for _ in range(20)} == {200}


def test_behind_a_proxy_nobody_suffers_for_what_others_do() -> None:
    proxied = world(
        behind_proxy=True, address="1/s burst 1", failed_auth="1/s burst 1", connects_per_address="1/s burst 1"
    )
    for _ in range(5):
        assert ping(proxied.visitor(), Authorization=GUESS).status == 401
        assert ping(proxied.visitor()).status == 200


def test_who_goes_on_while_they_are_refused_loses_the_connection() -> None:
    patient = world(address="0.001/s burst 1", refused="1/s burst 3")
    visitor = patient.visitor()
    ping(visitor)
    for _ in range(3):
        assert (ping(visitor).headers["Connection"], visitor.closed) == (None, False)
    assert (ping(visitor).headers["Connection"], visitor.closed) == ("close", True)


def test_nobody_loses_a_proxys_connection_by_what_others_did_over_it() -> None:
    patient = world(behind_proxy=True, trusted=[PROXY], address="0.001/s burst 1", refused="0.001/s burst 3")
    proxy = patient.visitor(PROXY)
    assert [ping(proxy, X_Forwarded_For=HERE).status for _ in range(6)] == [200] + [429] * 5
    answer = ping(proxy, X_Forwarded_For=THERE)
    assert (answer.status, answer.headers["Connection"], proxy.closed) == (200, None, False)
    assert not proxy.channel.socket.insists(patient.throttle), "a WebSocket over it begins with all patience"


# -- connects --


def test_connects_from_one_address_are_limited() -> None:
    crowd = world(connects_per_address="1/s burst 2")
    crowd.visitor(HERE)
    crowd.visitor(HERE)
    turned_away = crowd.visitor(HERE)
    assert (turned_away.answer().code, turned_away.closed) == ("rate_limited", True)
    assert crowd.visitor(THERE).ask("GET", "/healthz").status == 200
    assert crowd.admission.connections == 3


def test_one_address_does_not_use_up_the_turns_of_the_others() -> None:
    crowd = world(connects_per_address="1/s burst 2", connects="1/s burst 3")
    for _ in range(100):
        crowd.visitor(HERE)
    assert crowd.visitor(THERE).ask("GET", "/healthz").status == 200
    assert crowd.visitor(THERE).answer().code == "overloaded"


def test_above_what_a_worker_takes_a_connect_is_answered_without_being_read() -> None:
    busy = world(connects="1/s burst 1")
    busy.visitor()
    late = busy.visitor(THERE)
    assert isinstance(late.channel, TurnedAway)
    answer = late.answer()
    assert (answer.status, answer.code, late.closed) == (503, "overloaded", True)
    assert int(answer.headers["Retry-After"]) * 1000 >= answer.problem["retry_after_ms"] >= RETRY_AFTER_MS
    late.send(request("GET", "/healthz"))
    assert (late.received, busy.admission.connections, busy.admission.refused) == (b"", 1, 1)
    busy.clock.advance(1)
    assert busy.visitor().ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    "sections",
    [{"rates": {"connects": "0.001/s burst 1"}}, {"limits": {"max_connections": 1}}],
    ids=["no turn", "no room"],
)
def test_what_is_turned_away_gets_time_to_read_why_while_there_are_few(sections: dict[str, Any]) -> None:
    """A socket that is closed while something is still sent to it is reset, and the answer on it may be lost."""
    full = World(settings=settings(**sections))
    full.visitor()
    away = [full.visitor(f"203.0.113.{number}") for number in range(MOST_FAREWELLS + 1)]
    assert all(visitor.answer().status == 503 for visitor in away)
    assert [visitor.transport.half_closed for visitor in away] == [True] * MOST_FAREWELLS + [False]
    assert away[-1].transport.disconnecting
    away[0].send(request("GET", "/healthz"))
    for visitor in away[1:]:
        visitor.hang_up()
    assert away[0].received == b""
    full.clock.advance(full.settings.timeouts.close)
    assert [away[0].aborted, away[1].aborted] == [True, False]
    away[0].hang_up()
    assert full.admission.parting == 0
    # There are places again, for several addresses.
    flood = [full.visitor(THERE) for _ in range(MOST_OF_ONE + 1)]
    assert [visitor.transport.half_closed for visitor in flood] == [True] * MOST_OF_ONE + [False]
    assert full.visitor(HERE).transport.half_closed
    # One that has closed its own side may still read.
    flood[0].channel.readConnectionLost()
    assert flood[0].transport.disconnecting
    flood[0].hang_up()
    assert full.visitor(THERE).transport.half_closed


def test_what_is_turned_away_takes_nobodys_room() -> None:
    """Such as descriptors, of which there may be no more."""
    full = World(settings=settings(limits={"max_connections": 1}))
    full.admission._room = lambda sockets: sockets < 3
    full.visitor()
    away = [full.visitor(THERE) for _ in range(3)]
    assert [visitor.transport.half_closed for visitor in away] == [True, True, False]
    full.admission._max_connections = 2
    assert not full.admission.admit(HERE)
    away[0].hang_up()
    assert full.admission.admit(HERE)


def test_over_tls_it_is_closed_before_the_handshake() -> None:
    busy = world(connects="1/s burst 1")
    busy.visitor()
    transport = StringTransport(lenient=True)
    alsoProvides(transport, ISSLTransport)
    protocol = busy.site.buildProtocol(transport.getPeer())
    protocol.makeConnection(transport)
    assert (transport.value(), transport.disconnected) == (b"", True)


def test_all_who_are_turned_away_are_told_turns_as_far_apart_as_they_are_let_in() -> None:
    busy = world(connects="10/s burst 1")
    busy.visitor()
    waits = [busy.visitor().answer().problem["retry_after_ms"] for _ in range(100)]
    turns = [100 * number for number in range(100)]
    assert all(0 <= wait - turn - RETRY_AFTER_MS <= RETRY_AFTER_MS for wait, turn in zip(waits, turns, strict=True))
    # However many come, the last turn is bounded.
    for _ in range(600):
        wait = busy.visitor().answer().problem["retry_after_ms"]
    assert wait <= 1000 * LONGEST_LINE_S + 2 * RETRY_AFTER_MS


def test_a_last_word_is_a_whole_response() -> None:
    busy = world(connects="1/s burst 1")
    busy.visitor()
    answer, rest = parsed(busy.visitor().received)
    assert (answer.headers["Connection"], rest) == ("close", b"")
