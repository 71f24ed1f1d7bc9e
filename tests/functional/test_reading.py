"""Marks, what is unread, mutes and the archive: two people with two devices each, over sockets and HTTP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.kit.clients import MSGPACK, Client, Message
from tests.kit.people import Person
from tests.kit.server import Sections, Server
from tests.kit.talk import of


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"limits": {"large_group": 5}}


@dataclass(frozen=True)
class Devices:
    """Two of each, all live, and the conversation that alice began."""

    phone: Client
    laptop: Client
    his_phone: Client
    his_laptop: Client
    conversation: str
    queue: str

    def __iter__(self) -> Iterator[Client]:
        return iter((self.phone, self.laptop, self.his_phone, self.his_laptop))


@pytest.fixture
def devices(alice: Person, bob: Person) -> Iterator[Devices]:
    with ExitStack() as stack:
        clients = [
            stack.enter_context(person.connect(device=device, subprotocol=subprotocol))
            for person in (alice, bob)
            for device, subprotocol in (("phone", "chatd.v1.json"), ("laptop", MSGPACK))
        ]
        conversation = send(clients[0], bob, "one")
        for text in ("two", "three"):
            send(clients[0], bob, text)
        for client in clients:
            client.sync()
        yield Devices(*clients, conversation, clients[2].hello["queue"])


def send(client: Client, to: Person, text: str, **fields: object) -> str:
    reply = client.ask("message.send", client_id=f"send {text}".replace(" ", "-"), to=to.name, text=text, **fields)
    return str(reply["conversation"])


def listed(client: Client, **fields: object) -> list[Message]:
    page: list[Message] = client.ask("conversation.list", **fields)["conversations"]
    return page


def told(client: Client, conversation: str, user: Person, seq: int) -> Message:
    return {"type": "conversation.read", "conversation": conversation, "user": user.name, "seq": seq}


def test_reading_is_told_to_every_device_of_both_once(devices: Devices, bob: Person) -> None:
    conversation = devices.conversation
    assert devices.his_phone.ask("read", conversation=conversation, seq=2)["type"] == "ok"
    assert bob.http().post(f"/v1/conversations/{conversation}/read", seq=3).status == 200
    assert bob.http().post(f"/v1/conversations/{conversation}/read", seq=1).status == 200
    for client in devices:
        assert [client.event(), client.event()] == [told(client, conversation, bob, seq) for seq in (2, 3)]
        assert client.ask("ping")["type"] == "ok"
        assert client.read_events() == []


def test_private_reading_is_told_to_ones_own_devices(devices: Devices, alice: Person, bob: Person) -> None:
    conversation = devices.conversation
    devices.his_phone.ask("read", conversation=conversation, seq=3, private=True)
    assert devices.his_laptop.event() == told(devices.his_laptop, conversation, bob, 3)
    assert devices.phone.event()["type"] == "conversation.delivered"
    described = alice.http().get(f"/v1/conversations/{conversation}").body
    assert {one["user"]: one["read"] for one in described["members"]} == {alice.name: 0, bob.name: 0}
    assert devices.his_laptop.ask("conversation.get", conversation=conversation)["read"] == 3


def test_whoever_was_away_learns_of_marks_and_counts_from_the_list(
    devices: Devices, alice: Person, bob: Person
) -> None:
    conversation = devices.conversation
    devices.his_laptop.close()
    devices.phone.close()
    devices.his_phone.ask("read", conversation=conversation, seq=2)
    send(devices.laptop, bob, "bob, are you there?", mentions=[bob.name])
    with bob.connect(device="laptop") as back:
        events = back.sync()
        assert [event["type"] for event in events if event["type"] != "conversation.created"] == ["message.created"] * 4
        [mine] = listed(back)
    assert (mine["read"], mine["unread"], mine["mentions"], mine["last_message"]["text"]) == (
        2,
        2,
        1,
        "bob, are you there?",
    )
    with alice.connect(device="phone") as back:
        described = back.ask("conversation.get", conversation=conversation)
    assert {one["user"]: one["read"] for one in described["members"]} == {alice.name: 0, bob.name: 2}
    receipts = alice.http().get(f"/v1/conversations/{conversation}/messages/2/receipts").body
    assert receipts["people"] == [{"user": bob.name, "delivered": True, "read": True}]
    assert (receipts["recipients"], receipts["delivered"], receipts["read"], receipts["more"]) == (1, 1, 1, False)


def test_a_mute_and_the_archive_reach_the_other_device_live_and_after_an_absence(
    devices: Devices, alice: Person, bob: Person
) -> None:
    conversation = devices.conversation
    path = f"/v1/conversations/{conversation}"
    muted = bob.http().post(f"{path}/mute", client_id="m", until="2030-01-01T13:00:00+01:00").body
    assert muted["conversation"] == devices.queue
    live = devices.his_phone.event()
    assert live == devices.his_laptop.event()
    assert (live["type"], live["about"], live["until"]) == ("conversation.muted", conversation, "2030-01-01T12:00:00Z")
    devices.his_laptop.close()
    archived = devices.his_phone.ask("conversation.archive", conversation=conversation, client_id="a")
    again = bob.http(device="laptop").post(f"{path}/archive", client_id="a")
    assert (again.status, again.body["seq"]) == (200, archived["seq"])
    refused = bob.http().post(f"{path}/archive", client_id="b")
    assert (refused.status, refused.body["code"]) == (409, "unchanged")
    conflict = devices.his_phone.ask("conversation.unarchive", conversation=conversation, client_id="a")
    assert conflict["error"]["code"] == "conflict"
    with bob.connect(device="laptop") as back:
        missed = [event["type"] for event in of(devices.queue, back.sync(cursors={devices.queue: muted["seq"]}))]
        assert missed == ["conversation.archived"]
        assert listed(back) == []
        send(devices.phone, bob, "while it is muted")
        [mine] = listed(back, archived=True)
        assert bob.http().get("/v1/conversations", archived="true").body["conversations"] == [mine]
        assert (mine["muted"], mine["muted_until"], mine["unread"]) == (True, "2030-01-01T12:00:00Z", 4)
        back.ask("conversation.unmute", conversation=conversation, client_id="u")
        assert listed(back) == []
        send(devices.phone, bob, "while it is not")
        assert [one["conversation"] for one in listed(back)] == [conversation]
    [hers] = listed(devices.phone)
    assert "muted" not in hers
    assert "archived" not in hers
    assert [event["type"] for event in of(devices.queue, devices.phone.read_events())] == []


def test_counts_are_right_while_two_connections_write_delete_and_read(devices: Devices, bob: Person) -> None:
    """Each as fast as it can; afterwards history tells what they should be."""
    conversation = devices.conversation
    for n in range(17):
        send(devices.phone, bob, f"before {n}")
    waiting: list[tuple[Client, int]] = []

    def start(client: Client, name: str, **fields: object) -> None:
        waiting.append((client, client.send(name, conversation=conversation, **fields)))

    for n in range(60):
        for client in (devices.phone, devices.his_phone):
            mentions = [bob.name] if n % 3 == 0 else []
            start(client, "message.send", client_id=f"while {n}".replace(" ", "-"), text=str(n), mentions=mentions)
        if n % 4 == 3:
            start(devices.laptop, "message.delete", client_id=f"delete-{n}", seq=20 - n // 4)
            start(devices.his_laptop, "read", seq=n // 6)
    assert {client.reply(id)["type"] for client, id in waiting} == {"ok"}
    mine = devices.his_phone.ask("conversation.get", conversation=conversation)
    history = devices.his_phone.ask("history.get", conversation=conversation, limit=500)["messages"]
    behind = [one for one in history if one["seq"] > mine["read"] and one["sender"] != bob.name]
    standing = [one for one in behind if not one.get("deleted")]
    assert 0 < len(standing) < len(behind)
    assert mine["read"] == 9
    assert (mine["unread"], mine["mentions"]) == (
        len(standing),
        len([one for one in standing if bob.name in one.get("mentions", [])]),
    )


def test_pages_hold_what_did_not_change_once_and_what_did_is_on_top(
    alice: Person, person: Callable[..., Person], server: Server
) -> None:
    friends = [person("friend", server) for _ in range(7)]
    with alice.connect() as client:
        conversations = [send(client, friend, f"to-{n}") for n, friend in enumerate(friends)]
        first = alice.http().get("/v1/conversations", limit=3).body
        send(client, friends[0], "again")
        rest = client.ask("conversation.list", limit=3, cursor=first["next"])
        seen = [one["conversation"] for one in first["conversations"] + rest["conversations"]]
        assert seen == conversations[:0:-1]
        assert rest["next"] is None
        assert [one["conversation"] for one in listed(client, limit=1)] == conversations[:1]
