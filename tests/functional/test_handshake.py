"""How a WebSocket comes about, and for whom: subprotocols, tokens, deadlines."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.kit.clients import JSON, MSGPACK, Client
from tests.kit.people import Person
from tests.kit.raw import BINARY, CLOSE, PING, PONG, TEXT, RawSocket
from tests.kit.server import Sections, Server
from tests.kit.tokens import AuthService
from tests.kit.waiting import WITHIN_S

SHORT_LIVES = (2.0, 4.0, 8.0, 16.0, 32.0)
"""Of tokens, in seconds. Where it took longer to show one than it lived, the next is tried."""


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"timeouts": {"handshake": 60, "auth": 60}}


def refusal(url: str, **options: object) -> int:
    """The HTTP status that a handshake is refused with."""
    with pytest.raises(InvalidStatus) as caught, connect(url, open_timeout=WITHIN_S, **options):
        pass
    return caught.value.response.status_code


@pytest.mark.parametrize(("subprotocol", "opcode"), [(JSON, TEXT), (MSGPACK, BINARY)])
def test_both_subprotocols_are_spoken_in_frames_of_their_kind(
    subprotocol: str, opcode: int, server: Server, alice: Person
) -> None:
    with RawSocket.upgraded(server.url, alice.token(), subprotocol=subprotocol) as raw:
        hello = raw.receive()
    assert (hello.opcode, hello.fin, hello.masked) == (opcode, True, False)
    with alice.connect(subprotocol=subprotocol) as client:
        assert client.ask("ping")["type"] == "ok"


@pytest.mark.parametrize("offered", [None, ["chat"], ["chatd.v2.json"], ["CHATD.V1.JSON"], ["chatd.v1"]])
def test_a_handshake_without_one_of_them_is_refused(offered: list[str] | None, server: Server, alice: Person) -> None:
    header = {"Authorization": f"Bearer {alice.token()}"}
    assert refusal(server.url, subprotocols=offered, additional_headers=header) == 400


def test_of_several_the_clients_first_is_spoken(server: Server) -> None:
    with connect(server.url, subprotocols=["something", MSGPACK, JSON], open_timeout=WITHIN_S) as socket:
        assert socket.subprotocol == MSGPACK


def test_hello_tells_who_and_what(alice: Person) -> None:
    with alice.connect(device="phone") as client:
        hello = client.hello
    assert (hello["type"], hello["user"], hello["device"]) == ("hello", alice.name, "phone")
    assert hello["limits"]["text_chars"] == 4000
    assert "message.send" in hello["features"]
    assert 3_500_000 < hello["token_expires_in_ms"] <= 3_600_000


def test_without_a_named_device_it_is_the_default_one(alice: Person) -> None:
    with alice.connect() as client:
        assert client.hello["device"] == "default"


@pytest.mark.parametrize("device", ["", "a b", "x" * 65, "téléphone"])
def test_an_impossible_device_is_refused(device: str, server: Server, alice: Person) -> None:
    with RawSocket(server.url) as raw:
        raw.send(
            raw.handshake(
                {
                    "Authorization": f"Bearer {alice.token()}",
                    "Chatd-Device": device,
                    "Sec-WebSocket-Protocol": JSON,
                }
            )
        )
        assert raw.response()[0] == 400


@pytest.mark.parametrize("credentials", ["Bearer nonsense", "Bearer", "Basic YWxpY2U6c2VjcmV0", "Bearer a.b.c"])
def test_a_bad_token_in_the_header_is_refused_at_the_handshake(credentials: str, server: Server) -> None:
    assert refusal(server.url, subprotocols=[JSON], additional_headers={"Authorization": credentials}) == 401


def test_an_expired_token_is_refused_at_the_handshake(server: Server, alice: Person) -> None:
    header = {"Authorization": f"Bearer {alice.token(lifetime=-60)}"}
    assert refusal(server.url, subprotocols=[JSON], additional_headers=header) == 401


def test_a_token_of_another_auth_service_is_refused_at_the_handshake(server: Server) -> None:
    header = {"Authorization": f"Bearer {AuthService().token('alice')}"}
    assert refusal(server.url, subprotocols=[JSON], additional_headers=header) == 401


def test_a_foreign_origin_is_refused_at_the_handshake(server: Server, alice: Person) -> None:
    header = {"Authorization": f"Bearer {alice.token()}"}
    assert refusal(server.url, subprotocols=[JSON], origin="https://evil.example", additional_headers=header) == 403


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK])
def test_the_token_may_come_in_the_first_message(subprotocol: str, server: Server, alice: Person) -> None:
    with Client(server.url, subprotocol=subprotocol) as client:
        reply = client.ask("auth", token=alice.token(), device="phone")
        assert reply == {"id": 1, "type": "ok"}
        assert client.event()["device"] == "phone"
        assert client.ask("ping")["type"] == "ok"


def test_commands_may_follow_auth_without_waiting(server: Server, alice: Person) -> None:
    with Client(server.url) as client:
        ids = [client.send("auth", token=alice.token()), *(client.send("ping") for _ in range(20))]
        assert [client.reply(id)["type"] for id in ids] == ["ok"] * 21


@pytest.mark.parametrize("lifetime", [None, -60])
def test_a_bad_token_in_the_first_message_is_told_and_ends_the_connection(
    lifetime: int | None, server: Server, alice: Person
) -> None:
    token = "nonsense" if lifetime is None else alice.token(lifetime=lifetime)
    with Client(server.url) as client:
        error = client.ask("auth", token=token)["error"]
        assert (error["code"], error["status"], error["retryable"]) == ("unauthorized", 401, False)
        assert client.closed()[0] == 4500


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b'{"id":7,"type":"ping"}', "unauthorized"),
        (b'{"id":7,"type":"nonsense"}', "invalid"),
        (b'{"id":7,"type":"auth"}', "invalid"),
        (b"hello?", "malformed"),
    ],
)
def test_anything_else_as_the_first_message_is_told_and_ends_the_connection(
    message: bytes, code: str, server: Server
) -> None:
    with Client(server.url) as client:
        client.socket.send(message.decode())
        id = 7 if b"7" in message else None
        assert client.reply(id)["error"]["code"] == code
        assert client.closed()[0] == 4500


def test_a_token_in_the_url_counts_for_nothing(server: Server, alice: Person) -> None:
    with Client(f"{server.url}?token={alice.token()}&access_token={alice.token()}") as client:
        assert client.ask("ping")["error"]["code"] == "unauthorized"
        assert client.closed()[0] == 4500


def test_who_shows_no_token_is_sent_away_at_the_deadline_pings_notwithstanding(
    start_server: Callable[..., Server],
) -> None:
    server = start_server({"timeouts": {"auth": 1, "close": 60}})
    with RawSocket.upgraded(server.url) as raw:
        raw.socket.settimeout(0.05)
        deadline = time.monotonic() + WITHIN_S
        while True:
            assert time.monotonic() < deadline
            raw.send_frame(PING, b"still here")
            try:
                received = raw.receive()
            except TimeoutError:
                continue
            if received.opcode == CLOSE:
                break
            assert received.opcode == PONG
        assert int.from_bytes(received.payload[:2], "big") == 4501


def test_an_expired_token_ends_the_living_connection(server: Server, alice: Person) -> None:
    with connected_for_a_while(server, alice) as (client, _):
        assert client.closed()[0] == 4002


def test_a_fresh_token_keeps_the_connection_beyond_the_end_of_the_first(server: Server, alice: Person) -> None:
    with connected_for_a_while(server, alice) as (old, renewed):
        hello = renewed.event()
        assert hello["type"] == "hello"
        assert hello["session"] == renewed.hello["session"]
        assert hello["token_expires_in_ms"] > 3_500_000
        assert old.closed()[0] == 4002
        assert renewed.ask("ping")["type"] == "ok"


@contextmanager
def connected_for_a_while(server: Server, person: Person) -> Iterator[tuple[Client, Client]]:
    """Two connections with one token, which is about to expire; the second has been given a fresh one in time."""
    with ExitStack() as stack:
        for lifetime in SHORT_LIVES:
            token = person.token(lifetime=lifetime)
            with suppress(InvalidStatus, ConnectionClosed):
                old, renewed = (stack.enter_context(Client(server.url, token)) for _ in range(2))
                assert old.hello["token_expires_in_ms"] <= lifetime * 1000
                assert renewed.ask("auth", token=person.token())["type"] == "ok"
                break
        else:
            raise AssertionError("no token lived long enough")
        yield old, renewed


def test_a_bad_renewal_is_told_and_changes_nothing(
    server: Server, alice: Person, bob: Person, auth: AuthService
) -> None:
    with alice.connect(device="phone") as client:
        assert client.ask("auth", token="nonsense", device="phone")["error"]["code"] == "unauthorized"
        assert client.ask("auth", token=bob.token(), device="phone")["error"]["code"] == "invalid"
        assert client.ask("auth", token=alice.token(), device="tablet")["error"]["code"] == "invalid"
        assert client.ask("ping")["type"] == "ok"


def test_what_a_token_may_be_called_a_person_is_called(server: Server, auth: AuthService) -> None:
    """User ids are opaque: whatever the token's ``sub`` holds, it is addressed and shown as it is."""
    for name in ("Žofie Ž", "o'brien; DROP TABLE", "用户", "a/b?c=d&e", "😀" * 60, "x" * 255):
        with Client(server.url, auth.token(name)) as client:
            assert client.hello["user"] == name
            sent = client.ask("message.send", client_id="1", to=name, text="to myself")
            described = client.ask("conversation.get", conversation=sent["conversation"])
            assert [member["user"] for member in described["members"]] == [name]
