"""What is other people's is to a stranger as if it did not exist, whichever command asks for it, and whichever way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from chatd.handlers.catalogue import DECLARATIONS
from chatd.state.ids import direct, event_queue
from chatd.wire.commands import Declaration
from tests.kit.clients import Client, HttpClient, Message
from tests.kit.people import Person
from tests.kit.server import Sections, Server

MORE: dict[str, Message] = {
    "ack": {"seq": 0},
    "message.send": {"client_id": "x", "text": "let me in"},
    "message.edit": {"client_id": "x", "text": "not mine", "seq": 1},
    "message.delete": {"client_id": "x", "seq": 1},
    "message.versions": {"seq": 1},
    "message.pin": {"client_id": "x", "seq": 1},
    "message.unpin": {"client_id": "x", "seq": 1},
    "message.hide": {"client_id": "x", "seq": 1},
    "message.forward": {"client_id": "x", "seq": 1, "to": "mallory"},
    "reaction.add": {"client_id": "x", "seq": 1, "emoji": "\U0001f44d"},
    "reaction.remove": {"client_id": "x", "seq": 1, "emoji": "\U0001f44d"},
    "reaction.list": {"seq": 1},
    "thread.get": {"seq": 1},
    "read": {"seq": 0},
    "message.receipts": {"seq": 1},
    "conversation.mute": {"client_id": "mute"},
    "conversation.unmute": {"client_id": "unmute"},
    "conversation.archive": {"client_id": "archive"},
    "conversation.unarchive": {"client_id": "unarchive"},
    "reading.hide": {"client_id": "hide"},
    "reading.show": {"client_id": "show"},
    "group.update": {"client_id": "x", "title": "Mine"},
    "group.transfer": {"client_id": "x", "user": "eve"},
    "group.delete": {"client_id": "x"},
    "member.add": {"client_id": "x", "users": ["eve"]},
    "member.remove": {"client_id": "x", "user": "eve"},
    "member.leave": {"client_id": "x"},
    "member.role": {"client_id": "x", "user": "eve", "role": "owner"},
    "member.ban": {"client_id": "x", "user": "eve"},
    "member.unban": {"client_id": "x", "user": "eve"},
    "member.mute": {"client_id": "x", "user": "eve", "until": "2999-01-01T00:00:00Z"},
    "member.unmute": {"client_id": "x", "user": "eve"},
    "invitation.send": {"client_id": "x", "user": "eve"},
    "invitation.accept": {"client_id": "x"},
    "invitation.decline": {"client_id": "x"},
    "invitation.revoke": {"client_id": "x", "user": "eve"},
    "join.request": {"client_id": "x"},
    "join.cancel": {"client_id": "x"},
    "join.approve": {"client_id": "x", "user": "eve"},
    "join.deny": {"client_id": "x", "user": "eve"},
    "announcement.post": {"client_id": "x", "text": "hear me"},
    "announcement.read": {"seq": 1},
    "announcement.readers": {"seq": 1},
    "message.search": {"query": "between"},
}
"""What a command needs besides a conversation."""


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"search": {"enabled": True}}


ASKING = [declaration for declaration in DECLARATIONS if "conversation" in declaration.shape.__struct_fields__]


@dataclass(frozen=True)
class Stranger:
    """Mallory, and the logs that are none of hers: alice's and bob's, their group, bob's queue, and nothing at all.

    Bob blocks her: what that begins is as if it were not there, or she would find it out.
    """

    client: Client
    http: HttpClient
    others: dict[str, str]


@pytest.fixture
def stranger(alice: Person, bob: Person, person: Callable[..., Person], server: Server) -> Iterator[Stranger]:
    mallory = person("mallory", server)
    with alice.connect() as client:
        sent = client.ask("message.send", client_id="1", to=bob.name, text="between us")
        group = client.ask("group.create", client_id="2", title="ours", members=[bob.name])
    with bob.connect() as client:
        client.ask("user.block", client_id="1", user=mallory.name)
    with mallory.connect() as client:
        yield Stranger(
            client,
            mallory.http(),
            {
                "theirs": sent["conversation"],
                "a group": group["conversation"],
                "a queue": event_queue(bob.name),
                "a block": direct(bob.name, mallory.name),
                "absent": str(uuid4()),
            },
        )


def test_the_commands_that_name_a_conversation_are_all_tried_here() -> None:
    """A new one has to be thought of."""
    assert {declaration.name for declaration in ASKING} == {
        "ack",
        "conversation.get",
        "history.get",
        "message.send",
        "message.edit",
        "message.delete",
        "message.versions",
        "message.pin",
        "message.unpin",
        "message.hide",
        "message.forward",
        "reaction.add",
        "reaction.remove",
        "reaction.list",
        "message.search",
        "thread.get",
        "pin.list",
        "read",
        "message.receipts",
        "conversation.mute",
        "conversation.unmute",
        "conversation.archive",
        "conversation.unarchive",
        "reading.hide",
        "reading.show",
        *("group.get", "group.update", "group.transfer", "group.delete"),
        *("member.add", "member.remove", "member.leave", "member.list", "member.role"),
        *("member.ban", "member.unban", "ban.list", "member.mute", "member.unmute"),
        *("invitation.send", "invitation.accept", "invitation.decline", "invitation.revoke", "invitation.list"),
        *("join.request", "join.cancel", "join.approve", "join.deny", "join.list"),
        *("announcement.post", "announcement.read", "announcement.readers"),
        "typing.start",
        "typing.stop",
    }


@pytest.mark.parametrize("declaration", ASKING, ids=lambda declaration: declaration.name)
def test_every_command_answers_alike_for_theirs_and_for_nothing(declaration: Declaration, stranger: Stranger) -> None:
    name, route = declaration.name, declaration.route
    errors, responses = [], []
    for conversation in stranger.others.values():
        fields = {"conversation": conversation, **MORE.get(name, {})}
        errors.append(stranger.client.ask(name, **fields)["error"])
        path = route.path.format_map(fields)
        fields = {field: value for field, value in fields.items() if f"{{{field}}}" not in route.path}
        response = stranger.http.post(path, **fields) if route.method == "POST" else stranger.http.get(path, **fields)
        responses.append((response.status, response.body, sorted(response.headers)))
    assert errors == [errors[0]] * len(errors)
    assert (errors[0]["code"], errors[0]["status"]) == ("not_found", 404)
    assert responses == [responses[0]] * len(responses)
    assert responses[0][0] == 404
    assert {member: responses[0][1][member] for member in errors[0]} == errors[0]


def test_sync_resets_theirs_and_what_is_not_there_alike(stranger: Stranger) -> None:
    cursors = dict.fromkeys(stranger.others.values(), 1)
    reply = stranger.client.ask("sync", cursors=cursors)
    page = stranger.http.post("/v1/sync", cursors=cursors).body
    assert sorted(reply["reset"]) == sorted(page["reset"]) == sorted(cursors)
    assert stranger.client.read_events() == page["events"] == []


def test_a_strangers_ack_moves_nothing(stranger: Stranger, alice: Person) -> None:
    stranger.client.ask("ack", conversation=stranger.others["theirs"], seq=1)
    with alice.connect() as client:
        described = client.ask("conversation.get", conversation=stranger.others["theirs"])
    assert [member["delivered"] for member in described["members"]] == [0, 0]


def test_cursors_of_a_device_with_the_same_name_are_another_persons(alice: Person, bob: Person) -> None:
    with alice.connect(device="phone") as hers, bob.connect(device="phone") as his:
        sent = hers.ask("message.send", client_id="1", to=bob.name, text="hi")
        hers.ask("ack", conversation=sent["conversation"], seq=1)
        assert [event.get("text") for event in his.sync() if event["type"] == "message.created"] == ["hi"]


def test_ones_own_queue_is_read_and_not_written(alice: Person) -> None:
    with alice.connect() as client:
        client.ask("message.send", client_id="1", to=alice.name, text="to myself")
        queue = client.hello["queue"]
        assert client.ask("conversation.get", conversation=queue)["kind"] == "queue"
        error = client.ask("message.send", client_id="2", conversation=queue, text="x")["error"]
        assert (error["code"], error["status"]) == ("forbidden", 403)
