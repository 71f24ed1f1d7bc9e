"""Replies, errors and events, in both subprotocols: the same members, the same values."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from chatd.errors import CATALOGUE, Conflict, Overloaded
from chatd.handlers.catalogue import DECLARATIONS
from chatd.handlers.conversations import ConversationPage, ListedConversation
from chatd.handlers.messages import MessageCreated, Sent
from chatd.handlers.sync import Synced
from chatd.router import command_union
from chatd.wire.codec import Codec, JsonCodec, MsgpackCodec
from chatd.wire.commands import Done, Reply
from chatd.wire.events import Event, Hello, Outgoing
from tests.kit.samples import frame_of

COMMANDS = command_union(DECLARATIONS)
CODECS: list[Codec] = [JsonCodec(COMMANDS), MsgpackCodec(COMMANDS)]
REPLIES = sorted({Done, *(declaration.reply for declaration in DECLARATIONS)}, key=lambda reply: reply.__name__)
EVENTS = sorted({Hello, *(event for one in DECLARATIONS for event in one.emits)}, key=lambda event: event.__name__)
CONVERSATION = "6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b"
NOON = datetime(2026, 1, 1, 12, 0, 0, 120_000, tzinfo=UTC)

every_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.subprotocol)


def read(codec: Codec, payload: bytes) -> Any:
    """A frame as a client sees it, by another reader than msgspec's typed one."""
    return msgspec.msgpack.decode(payload) if codec.binary else json.loads(payload)


@every_codec
@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.__name__)
def test_a_reply_carries_its_id_and_comes_back_whole(codec: Codec, reply: type[Reply]) -> None:
    said = msgspec.convert(frame_of(reply), reply)
    got = read(codec, codec.encode_reply(2**53 - 1, said))
    assert got.pop("id") == 2**53 - 1
    assert got["type"] == "ok"
    assert msgspec.convert(got, reply) == said


@every_codec
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__struct_config__.tag)
def test_an_event_comes_back_whole(codec: Codec, event: type[Event]) -> None:
    said = msgspec.convert(frame_of(event), event)
    got = read(codec, codec.encode_event(said))
    assert got["type"] == event.__struct_config__.tag
    assert msgspec.convert(got, event) == said


def test_both_subprotocols_say_the_same() -> None:
    event = MessageCreated(
        conversation=CONVERSATION, seq=1, time=NOON, message_id=f"{CONVERSATION}.1", sender="bob", text="\u2028😀"
    )
    replies = [
        Synced(events=[event], more=False, reset=[CONVERSATION], epoch="an-epoch"),
        Sent(message_id=event.message_id, conversation=CONVERSATION, seq=1, time=NOON),
        ConversationPage(conversations=[], next=None),
        ConversationPage(
            conversations=[
                ListedConversation(
                    conversation=CONVERSATION,
                    kind="direct",
                    members=["a"],
                    member_count=1,
                    last_seq=1,
                    last_at=NOON,
                    delivered=0,
                    read=0,
                    unread=1,
                    mentions=0,
                )
            ],
            next="x",
        ),
        Done(),
    ]
    for reply in replies:
        first, second = (read(codec, codec.encode_reply(3, reply)) for codec in CODECS)
        assert first == second
    first, second = (read(codec, codec.encode_event(event)) for codec in CODECS)
    assert first == second


@every_codec
def test_the_events_in_a_reply_are_told_whole(codec: Codec) -> None:
    event = MessageCreated(
        conversation=CONVERSATION, seq=1, time=NOON, message_id=f"{CONVERSATION}.1", sender="bob", text="hello"
    )
    got = read(codec, codec.encode_reply(1, Synced(events=[event], more=False, reset=[], epoch="an-epoch")))
    assert got["events"] == [read(codec, codec.encode_event(event))]
    assert got["events"][0]["text"] == "hello"


@every_codec
def test_times_are_rfc_3339_in_utc(codec: Codec) -> None:
    for time in (NOON, NOON.astimezone(timezone(timedelta(0)))):
        reply = Sent(message_id="m", conversation=CONVERSATION, seq=1, time=time)
        assert read(codec, codec.encode_reply(1, reply))["time"] == "2026-01-01T12:00:00.120000Z"


@every_codec
def test_a_member_that_says_nothing_is_left_out_but_null_is_said_where_it_means_something(codec: Codec) -> None:
    event = MessageCreated(
        conversation=CONVERSATION, seq=1, time=NOON, message_id=f"{CONVERSATION}.1", sender="bob", text="hello"
    )
    assert set(read(codec, codec.encode_event(event))) == {
        "type",
        "conversation",
        "seq",
        "time",
        "message_id",
        "sender",
        "text",
    }
    page = read(codec, codec.encode_reply(1, ConversationPage(conversations=[], next=None)))
    assert page == {"id": 1, "type": "ok", "conversations": [], "next": None}


@every_codec
@pytest.mark.parametrize("error", CATALOGUE, ids=lambda error: error.code)
@pytest.mark.parametrize("id", [None, 0, 7, 2**64 - 1])
def test_an_error_says_what_the_client_may_do(codec: Codec, error: Any, id: int | None) -> None:
    assert read(codec, codec.encode_error(id, error())) == {
        "type": "error",
        "id": id,
        "error": {"code": error.code, "status": error.status, "detail": error.meaning, "retryable": error.retryable},
    }


@every_codec
def test_an_error_may_say_when_to_come_back(codec: Codec) -> None:
    got = read(codec, codec.encode_error(1, Overloaded(retry_after_ms=250)))
    assert got["error"]["retry_after_ms"] == 250
    got = read(codec, codec.encode_error(1, Conflict("This is why.")))
    assert got["error"]["detail"] == "This is why."


def test_an_event_is_encoded_once_for_each_form() -> None:
    class Counting:
        """A form that counts."""

        def __init__(self, name: str) -> None:
            self.name = name
            self.asked = 0

        def encode(self, event: Event) -> tuple[str, Event]:
            self.asked += 1
            return self.name, event

    event = msgspec.convert(frame_of(Hello), Hello)
    outgoing = Outgoing(event)
    forms = [Counting("one"), Counting("other")]
    for _ in range(3):
        assert [outgoing.encoded(form) for form in forms] == [("one", event), ("other", event)]
    assert [form.asked for form in forms] == [1, 1]
