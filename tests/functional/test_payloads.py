"""What people write comes back as they wrote it, by every way in and out; what cannot be kept is refused by name."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import msgspec
import pytest

from tests.kit.clients import JSON, MSGPACK, Client, HttpClient, Message
from tests.kit.naughty import NAUGHTY
from tests.kit.people import Person
from tests.kit.raw import BINARY, TEXT, RawSocket
from tests.kit.server import Server
from tests.kit.talk import of

_numbers = count()


@dataclass(frozen=True)
class Ways:
    """Alice's three ways in, and bob's ways out."""

    json: Client
    msgpack: Client
    http: HttpClient
    to: str
    bob: Person

    def send(self, way: str, text: str, **more: object) -> Message:
        """The reply, without its id."""
        fields = {"client_id": f"n-{next(_numbers)}", "to": self.to, "text": text, **more}
        if way == "http":
            return self.http.post("/v1/messages", **fields).body
        client = self.json if way == "json" else self.msgpack
        return {
            name: value for name, value in client.ask("message.send", **fields).items() if name not in ("id", "type")
        }

    def read_back(self, sent: Message) -> Iterator[Message]:
        """The message as bob sees it: in history and in sync, each as JSON, as MessagePack and over HTTP."""
        conversation, seq = sent["conversation"], sent["seq"]
        for subprotocol in (JSON, MSGPACK):
            with self.bob.connect(subprotocol=subprotocol) as client:
                yield client.ask("history.get", conversation=conversation, around=seq, limit=1)["messages"][0]
                yield of(conversation, client.sync(cursors={conversation: seq - 1}))[-1]
        http = self.bob.http()
        yield http.get(f"/v1/conversations/{conversation}/history", around=seq, limit=1).body["messages"][0]
        yield http.post("/v1/sync", scope="named", cursors={conversation: seq - 1}).body["events"][0]


@pytest.fixture
def ways(alice: Person, bob: Person) -> Iterator[Ways]:
    with alice.connect() as json, alice.connect(subprotocol=MSGPACK) as msgpack:
        yield Ways(json, msgpack, alice.http(), bob.name, bob)


@pytest.mark.parametrize("name", NAUGHTY)
def test_it_comes_back_as_it_was_written(name: str, ways: Ways) -> None:
    text = NAUGHTY[name]
    for way in ("json", "msgpack", "http"):
        sent = ways.send(way, text, metadata={"any": text[:400], text[:64]: ""})
        for message in ways.read_back(sent):
            assert message["text"] == text
            assert message["metadata"] == {"any": text[:400], text[:64]: ""}


def test_it_comes_back_without_metadata_where_there_was_none(ways: Ways) -> None:
    for message in ways.read_back(ways.send("json", "hi")):
        assert "metadata" not in message
        assert "unreadable" not in message


def test_escaped_and_plain_json_are_the_same_text(ways: Ways, alice: Person, bob: Person) -> None:
    with alice.raw() as raw:
        raw.message()
        command = {"id": 7, "type": "message.send", "client_id": "escaped", "to": bob.name, "text": "\U0001f600\u00e9"}
        replies = []
        for ascii in (True, False):
            raw.send_frame(TEXT, json.dumps(command, ensure_ascii=ascii).encode())
            replies.append(raw.message())
    assert replies[0] == replies[1]
    assert replies[0]["type"] == "ok"


@pytest.mark.parametrize("character", ["x", "\u00e9", "\u0301", "\U0001f600", "\u200d"])
def test_lengths_count_code_points(character: str, ways: Ways) -> None:
    for way in ("json", "msgpack", "http"):
        assert ways.send(way, character * 4000)["seq"]
        refused = ways.send(way, character * 4001)
        error = refused.get("error", refused)
        assert (error["code"], error["status"]) == ("too_large", 413)
        assert "`text` has 4001 characters" in error["detail"]


def body(**fields: object) -> bytes:
    """A send that is right but for ``fields``; those that are None are left out."""
    whole = {"client_id": "c", "to": "bob", "text": "hi", **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


REFUSED = {
    "NUL in the text": (body(text="a\x00b"), "`text`"),
    "NUL in metadata": (body(metadata={"a": "\x00"}), "`metadata"),
    "NUL in a name of metadata": (body(metadata={"\x00": "a"}), "`metadata"),
    "NUL in the person": (body(to="b\x00b"), "`to`"),
    "a line break in the person": (body(to="bob\n"), "`to`"),
    "lone high surrogate": (body(text="X").replace(b"X", b"\\ud800"), ""),
    "lone low surrogate": (body(text="X").replace(b"X", b"\\udc00x"), ""),
    "surrogates the wrong way round": (body(text="X").replace(b"X", b"\\udc00\\ud800"), ""),
    "deep arrays, nested": (body(text="X").replace(b'"X"', b"[" * 30_000 + b"]" * 30_000), ""),
    "objects in what is unknown, nested": (body(x="X").replace(b'"X"', b'{"a":' * 10_000 + b"1" + b"}" * 10_000), ""),
    "endless arrays, nested": (body(text="X").replace(b'"X"', b"[" * 60_000), ""),
    "NaN": (body(text="X").replace(b'"X"', b"NaN"), ""),
    "infinity": (body(text="X").replace(b'"X"', b"-Infinity"), ""),
    "1e400": (body(text="X").replace(b'"X"', b"1e400"), ""),
    "a number of 5000 digits": (body(text="X").replace(b'"X"', b"9" * 5000), ""),
    "a number for text": (body(text=5), "`text`"),
    "null for text": (body(text="X").replace(b'"X"', b"null"), "`text`"),
    "an object for text": (body(text={"a": "b"}), "`text`"),
    "no text": (body(text=None), "`text`"),
    "empty text": (body(text=""), "`text`"),
    "no client_id": (body(client_id=None), "`client_id`"),
    "a client_id with a space": (body(client_id="a b"), "`client_id`"),
    "a client_id of 65": (body(client_id="x" * 65), "`client_id`"),
    "a client_id that is not ASCII": (body(client_id="\u00e9"), "`client_id`"),
    "a list of people": (body(to=["bob"]), "`to`"),
    "a person of 256": (body(to="x" * 256), "`to`"),
    "numbers as metadata": (body(metadata={"a": 1}), "`metadata"),
    "17 metadata": (body(metadata={str(n): "" for n in range(17)}), "`metadata`"),
    "a conversation that is no id": (body(to=None, conversation="' OR 1=1"), "`conversation`"),
    "a conversation in capitals": (
        body(to=None, conversation="6B4D2F0E-8F5B-8C1D-9A53-0A8F5A3F1C2B"),
        "`conversation`",
    ),
    "neither person nor conversation": (body(to=None), "`to`"),
    "both": (body(conversation="6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b"), "`conversation`"),
    "an unknown field": (body(colour="red"), "`colour`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_the_name_of_its_field_over_websocket_and_http(name: str, alice: Person) -> None:
    content, named = REFUSED[name]
    with alice.raw() as raw:
        raw.message()
        raw.send_frame(TEXT, b'{"id":7,"type":"message.send",' + content[1:])
        reply = raw.message()
        raw.say({"id": 8, "type": "ping"})
        assert raw.message()["id"] == 8
    response = alice.http().request("POST", "/v1/messages", content)
    assert reply["error"]["status"] == response.status == 400
    assert reply["error"]["code"] == response.body["code"]
    assert named in reply["error"]["detail"]
    assert named in response.body["detail"]
    if reply["error"]["code"] == "invalid" and not name.endswith("nested"):
        assert reply["id"] == 7


@pytest.mark.parametrize(
    ("frame", "id"),
    [
        (b'{"id":7,"type":"ping","id":8}', 8),
        (b'{"type":"ping","id":8,"type":"ping"}', 8),
        (b'{"id":9007199254740991,"type":"ping"}', 9007199254740991),
    ],
)
def test_of_duplicate_keys_the_last_counts(frame: bytes, id: int, alice: Person) -> None:
    with alice.raw() as raw:
        raw.message()
        raw.send_frame(TEXT, frame)
        reply = raw.message()
    assert (reply["id"], reply["type"]) == (id, "ok")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"{}",
        b'{"id":7}',
        b'{"type":"ping"}',
        b'{"id":7,"type":7}',
        b'{"id":7,"type":"event"}',
        b'{"id":7,"type":"ping","type":"conversation.list"}',
        b'{"id":"x","type":"ping","id":7}',
        b'{"id":-1,"type":"ping"}',
        b'{"id":9007199254740992,"type":"ping"}',
        b'{"id":9223372036854775808,"type":"ping"}',
        b'{"id":' + b"9" * 5000 + b',"type":"ping"}',
        b'{"id":1.5,"type":"ping"}',
        b'{"id":1e400,"type":"ping"}',
        b'{"id":NaN,"type":"ping"}',
        b'{"id":"7","type":"ping"}',
        b'{"id":true,"type":"ping"}',
        b'{"id":7,"type":"ping"} {"id":8,"type":"ping"}',
        b'{"id":7,"type":"ping",}',
        b'{"id":7,"type":"ack","conversation":"6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b","seq":9223372036854775808}',
        b'{"id":7,"type":"ack","conversation":"6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b","seq":-1}',
        b'{"id":7,"type":"sync","cursors":[]}',
        b'{"id":7,"type":"history.get","conversation":"6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b","limit":501}',
        b"\xef\xbb\xbf" + b'{"id":7,"type":"ping"}',
    ],
)
def test_what_is_no_command_is_refused_and_the_connection_goes_on(frame: bytes, alice: Person) -> None:
    with alice.raw() as raw:
        raw.message()
        raw.send_frame(TEXT, frame)
        error = raw.message()["error"]
        assert (error["status"], error["retryable"]) == (400, False)
        raw.say({"id": 1, "type": "ping"})
        assert raw.message()["type"] == "ok"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\xc0",
        b"\x90",
        b"\x80",
        b"\x91" * 60_000,
        b"\x81\xa1x" * 15_000,
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\x82\xa2id\x07\xa4type\xa4pin",
        b"\x82\xa2id\xcf" + b"\xff" * 8 + b"\xa4type\xa4ping",
        b"\x82\xa2id\xcb\x7f\xf8" + bytes(6) + b"\xa4type\xa4ping",
        b"\x82\xa2id\x07\xa4type\xa4\xed\xa0\x80x",
        b"\x82\xa2id\x07\xa4type\xc4\x04ping",
        b"\x82\xa2id\x07\xa4type\xd4\x01p",
        msgspec.msgpack.encode({"id": 7, "type": "ping"}) + b"\xc0",
        msgspec.msgpack.encode({"id": 7, "type": "ping", 1: 2}),
    ],
)
def test_messagepack_that_is_no_command_is_refused_too(frame: bytes, server: Server, alice: Person) -> None:
    with RawSocket.upgraded(server.url, alice.token(), subprotocol=MSGPACK) as raw:
        raw.receive()
        raw.send_frame(BINARY, frame)
        error = msgspec.msgpack.decode(raw.receive().payload)["error"]
        assert (error["status"], error["retryable"]) == (400, False)
        raw.send_frame(BINARY, msgspec.msgpack.encode({"id": 1, "type": "ping"}))
        assert msgspec.msgpack.decode(raw.receive().payload)["type"] == "ok"
