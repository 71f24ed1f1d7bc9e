"""Whatever texts people give, by whichever command, come back byte for byte (faults 41, 48 to 50)."""

from collections.abc import Callable, Iterator
from itertools import count

import msgspec
import pytest
from msgspec.inspect import DictType, Metadata, NoneType, StrType, Type, UnionType, type_info

from chatd.handlers.catalogue import DECLARATIONS
from tests.kit.clients import Client, Message
from tests.kit.naughty import texts
from tests.kit.people import Person
from tests.kit.prepared import Prepared
from tests.kit.server import Server

_numbers = count(1)

NAMES = {
    "client_id",
    "conversation",
    "into",
    "user",
    "users",
    "to",
    "mentions",
    "device",
    "members",
    "sender",
    "cursors",
    "token",
    "token_id",
}
"""Fields that name somebody or something, and hold no text of their own."""

ASKING = {"query", "cursor", "emoji", "after", "epoch"}
"""Fields that are asked with, or that take no text but certain ones."""

PICTURES = {"picture", "avatar_url"}
"""URLs in ASCII, to which the rules of ``tests/edge/test_fields.py`` apply."""


@pytest.fixture
def world(server: Server, person: Callable[..., Person]) -> Prepared:
    return Prepared(server, person)


@pytest.fixture
def alice(world: Prepared) -> Iterator[Client]:
    with world.connect("alice") as client:
        yield client


def ok(client: Client, name: str, /, **fields: object) -> Message:
    reply = client.ask(name, client_id=f"n-{next(_numbers)}", **fields)
    assert reply["type"] == "ok", (fields, reply)
    return reply


def message(client: Client, conversation: str, seq: int) -> Message:
    [found] = client.ask("history.get", conversation=conversation, around=seq, limit=1)["messages"]
    return found


def metadata(text: str) -> dict[str, str]:
    """The text as a value and, as far as it may be one, as a key."""
    return {"value": text[:300], text[:64]: "key"}


def takes_text(type: Type) -> bool:
    """Whether a value of the type is, or holds, free text."""
    if isinstance(type, Metadata):
        return takes_text(type.type)
    if isinstance(type, UnionType):
        return any(takes_text(one) for one in type.types if not isinstance(one, NoneType))
    return isinstance(type, StrType | DictType)


def test_the_fields_that_store_text_are_all_tried_here() -> None:
    """A new one has to be thought of."""
    found = {
        (declaration.name, field.name)
        for declaration in DECLARATIONS
        for field in msgspec.structs.fields(declaration.shape)
        if takes_text(type_info(field.type)) and field.name not in NAMES | ASKING | PICTURES
    }
    assert found == {
        *(("message.send", name) for name in ("text", "metadata")),
        *(("message.edit", name) for name in ("text", "metadata")),
        *(("announcement.post", name) for name in ("text", "metadata")),
        *((command, name) for command in ("group.create", "group.update") for name in ("title", "description")),
        *(("user.update", name) for name in ("name", "metadata")),
        ("join.request", "text"),
    }


def test_messages_their_edits_versions_and_forwards(world: Prepared, alice: Client) -> None:
    with world.connect("bob") as bob:
        for text in texts():
            sent = ok(alice, "message.send", to=world.name("bob"), text=text, metadata=metadata(text))
            forwarded = ok(bob, "message.forward", conversation=world.direct, seq=sent["seq"], to=world.name("carol"))
            edited = {"text": text[::-1], "metadata": metadata(text[::-1])}
            ok(alice, "message.edit", conversation=world.direct, seq=sent["seq"], **edited)
            first, second = bob.ask("message.versions", conversation=world.direct, seq=sent["seq"])["versions"]
            assert (first["text"], first["metadata"]) == (text, metadata(text))
            assert (second["text"], second["metadata"]) == (text[::-1], metadata(text[::-1]))
            copy = message(bob, forwarded["conversation"], forwarded["seq"])
            assert (copy["text"], copy["metadata"]) == (text, metadata(text))


def test_announcements(world: Prepared, alice: Client) -> None:
    with world.connect("bob") as bob:
        for text in texts():
            sent = ok(alice, "announcement.post", conversation=world.group, text=text, metadata=metadata(text))
            found = message(bob, world.group, sent["seq"])
            assert (found["text"], found["metadata"]) == (text, metadata(text))


def test_what_groups_are_called_and_are_about(world: Prepared, alice: Client) -> None:
    with world.connect("bob") as bob:
        for text in texts(longest=100):
            shown = {"title": text, "description": text * 2}
            ok(alice, "group.update", conversation=world.group, **shown)
            founded = ok(alice, "group.create", **shown)["conversation"]
            for client, group in ((bob, world.group), (alice, founded)):
                found = client.ask("group.get", conversation=group)
                assert {name: found[name] for name in shown} == shown


def test_profiles(world: Prepared, alice: Client) -> None:
    with world.connect("bob") as bob:
        for text in texts(longest=200):
            ok(alice, "user.update", name=text, metadata=metadata(text))
            [found] = bob.ask("user.get", users=[world.name("alice")])["profiles"]
            assert (found["name"], found["metadata"]) == (text, metadata(text))


def test_what_those_say_who_ask_to_be_let_in(world: Prepared, alice: Client) -> None:
    ok(alice, "group.update", conversation=world.group, rules={"joining": "request"})
    said = texts(longest=500)
    with world.connect("carol") as carol:
        for text in said:
            ok(carol, "join.request", conversation=world.group, text=text)
            ok(carol, "join.cancel", conversation=world.group)
    with world.connect("alice", device="later") as client:
        told = [event.get("text", "") for event in client.sync() if event["type"] == "join.requested"]
    assert told == said
