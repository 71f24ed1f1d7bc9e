"""What the server logs: nothing that was said or shown in confidence, and nothing that disturbs who reads it."""

import re
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from tests.kit.clients import Client, HttpClient
from tests.kit.people import Person
from tests.kit.raw import CLOSE, TEXT, RawSocket, close_payload
from tests.kit.server import Sections, Server
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for

SAID = "so-much-in-confidence"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[|\t|$")


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"": {"log_level": "debug"}}


@pytest.fixture(autouse=True)
def no_secret_is_logged(server: Server) -> Iterator[None]:
    yield
    assert SAID not in server.log


def assert_absent(server: Server, token: str) -> None:
    """No part of the token stands in the log once all has been written."""
    marker = "/mark-" + token[-8:]
    HttpClient(server.http_url).get(marker)
    log = wait_for(lambda: server.log if marker in server.log else None)
    assert not [part for part in token.split(".") if part in log]


def test_neither_tokens_nor_what_people_say(server: Server, alice: Person, bob: Person) -> None:
    token = alice.token()
    with Client(server.url, token) as client, bob.connect() as his:
        his.sync()
        client.ask("message.send", client_id="1", to=bob.name, text=SAID, metadata={SAID: SAID})
        assert his.event()["type"] == "conversation.created"
        assert his.event()["text"] == SAID
        conversation = client.ask("conversation.list")["conversations"][0]["conversation"]
        client.ask("history.get", conversation=conversation)
        client.ask("auth", token=token)
    http = HttpClient(server.http_url, token)
    assert http.post("/v1/messages", client_id="2", to=bob.name, text=SAID).status == 200
    assert_absent(server, token)


def test_nor_do_they_when_they_are_refused(server: Server, alice: Person, auth: AuthService) -> None:
    tokens = [alice.token(lifetime=-60), AuthService().token(alice.name), alice.token()[:-2]]
    for token in tokens:
        with pytest.raises(InvalidStatus):
            Client(server.url, token)
        with Client(server.url) as client:
            client.ask("auth", token=token)
        assert HttpClient(server.http_url, token).get("/v1/ping").status == 401
        assert_absent(server, token)
    good = alice.token()
    with Client(f"{server.url}?token={good}") as client:
        client.ask("ping")
    assert HttpClient(server.http_url).get("/v1/ping", token=good).status == 401
    with alice.connect() as client:
        for fields in ({"text": SAID}, {"text": SAID, "client_id": SAID + "\n"}, {SAID: SAID}, {"text": SAID * 1000}):
            assert "error" in client.ask("message.send", **fields)
    with alice.raw() as raw:
        raw.message()
        raw.send_frame(TEXT, f'{{"{SAID}'.encode())
        assert raw.message()["error"]["code"] == "malformed"
    assert_absent(server, good)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /\x1b[31mred HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%0d%0a2026-01-01T00:00:00+0000%20[forged] HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x9b31m\xe2\x80\xae HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G\x1b]0;T\x07 / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\x1b[31m: y\r\n\r\n",
        b"\x1b[31m\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_requests_with_escape_sequences_leave_only_clean_lines(request_bytes: bytes, server: Server) -> None:
    with RawSocket(server.url) as raw:
        raw.send(request_bytes)
        assert raw.response()[0] in (400, 404)
    assert_clean(server)


def test_people_with_strange_names_leave_only_clean_lines(server: Server, auth: AuthService) -> None:
    for name in ("a\u0085b", "a\u009b31mb", "\u202eecila", "a\u2028[forged] b", "{user} {0} %s"):
        with Client(server.url, auth.token(name)) as client:
            assert client.hello["user"] == name
        assert HttpClient(server.http_url, auth.token(name)).get("/v1/ping").status == 200
    assert_clean(server)


def test_the_reason_of_a_close_leaves_only_a_clean_line(server: Server, alice: Person) -> None:
    with alice.raw() as raw:
        raw.message()
        raw.send_frame(CLOSE, close_payload(1000, "bye\r\n2026-01-01T00:00:00+0000 [forged]\x1b[31m\u202e".encode()))
        assert raw.ended()
    wait_for(lambda: "[forged]" in server.log)
    assert_clean(server)


def assert_clean(server: Server) -> None:
    log = server.log
    assert CONTROL.findall(log) == []
    assert [line for line in log.split("\n") if not LINE.match(line)] == []
