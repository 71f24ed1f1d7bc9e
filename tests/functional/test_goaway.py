"""A server that is told to end finishes what is under way, takes on nothing more, and says when to come back."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatd.state.ids import direct
from tests.kit.clients import JSON, MSGPACK
from tests.kit.people import Person
from tests.kit.raw import CLOSE, PING, RawSocket
from tests.kit.server import Server
from tests.kit.slow_opening import being_opened_elsewhere
from tests.kit.waiting import wait_for


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK])
def test_what_is_under_way_is_answered_before_the_connection_closes_and_nothing_more_is_read(
    subprotocol: str,
    start_server: Callable[..., Server],
    person: Callable[..., Person],
    dsn: str,
    elsewhere: ThreadPoolExecutor,
) -> None:
    server = start_server()
    alice, bob, carol = (person(name, server) for name in ("alice", "bob", "carol"))
    with alice.connect(subprotocol=subprotocol) as hers, bob.connect() as his:
        with being_opened_elsewhere(dsn, direct(alice.name, carol.name)):
            under_way = hers.send("message.send", client_id="1", to=carol.name, text="hi")
            assert hers.ask("ping")["type"] == "ok"
            stopping = elsewhere.submit(server.stop)
            goaway = hers.event()
            assert goaway["type"] == "goaway"
            assert 0 <= goaway["retry_after_ms"] <= 1000
            assert his.closed()[0] == 1012, "nothing is under way here"
            too_late = hers.send("message.send", client_id="2", to=bob.name, text="for the next server")
        acknowledged = hers.reply(under_way)
        assert acknowledged["type"] == "ok"
        assert hers.closed()[0] == 1012
        assert not hers.has_reply(too_late)
    assert stopping.result() == 0
    server.start()
    with alice.connect() as hers:
        assert hers.ask("message.send", client_id="1", to=carol.name, text="hi")["seq"] == acknowledged["seq"]
        assert hers.ask("message.send", client_id="2", to=bob.name, text="for the next server")["seq"] == 1


def test_what_takes_too_long_is_given_up_after_the_time_to_drain(
    start_server: Callable[..., Server], person: Callable[..., Person], dsn: str
) -> None:
    server = start_server({"timeouts": {"drain": 1}})
    alice, carol = person("alice", server), person("carol", server)
    with alice.connect() as hers, being_opened_elsewhere(dsn, direct(alice.name, carol.name)):
        hers.send("message.send", client_id="1", to=carol.name, text="hi")
        assert hers.ask("ping")["type"] == "ok"
        assert server.stop() == 0


def test_a_client_that_does_not_answer_the_close_holds_nothing_up(
    start_server: Callable[..., Server], person: Callable[..., Person]
) -> None:
    server = start_server({"timeouts": {"drain": 60, "close": 1}})
    alice = person("alice", server)
    with alice.raw() as silent:
        silent.message()
        assert server.stop() == 0
        assert silent.message()["type"] == "goaway"
        assert silent.receive().opcode == CLOSE


def test_who_has_shown_no_token_is_told_by_the_close_alone(start_server: Callable[..., Server]) -> None:
    server = start_server()
    with RawSocket.upgraded(server.url, None) as stranger:
        stranger.send_frame(PING, b"there?")
        wait_for(lambda: stranger.receive().payload == b"there?")
        assert server.stop() == 0
        received = stranger.receive()
        assert (received.opcode, received.payload[:2]) == (CLOSE, (1012).to_bytes(2, "big"))
