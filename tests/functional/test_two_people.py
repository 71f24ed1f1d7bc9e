"""Two people talk, whatever they connect with: Autobahn, the ``websockets`` library, plain HTTP."""

from collections.abc import Callable

import pytest_twisted

from tests.kit.clients import MSGPACK, Message
from tests.kit.people import Person
from tests.kit.server import Server

CONTENT = ("type", "conversation", "seq", "sender", "text", "message_id")


def content(event: Message) -> tuple[object, ...]:
    """What two views of one message have in common."""
    return tuple(event.get(name) for name in CONTENT)


def texts(events: list[Message]) -> list[str]:
    return [event["text"] for event in events if event["type"] == "message.created"]


@pytest_twisted.ensureDeferred
async def test_every_device_of_both_gets_every_message_once_and_in_order(alice: Person, bob: Person) -> None:
    phone = await alice.autobahn(device="phone")
    tablet = await bob.autobahn(device="tablet", subprotocol=MSGPACK)
    with alice.connect(device="laptop", subprotocol=MSGPACK) as laptop, bob.connect(device="desk") as desk:
        for waiting in (await phone.ask("sync"), await tablet.ask("sync")):
            assert waiting["type"] == "ok"
        laptop.sync()
        desk.sync()
        first = await phone.ask("message.send", client_id="1", to=bob.name, text="from Autobahn")
        desk.ask("message.send", client_id="1", to=alice.name, text="from websockets")
        alice.http().post("/v1/messages", client_id="2", to=bob.name, text="from HTTP")
        seen = [
            [await phone.event() for _ in range(4)],
            laptop.events(4),
            desk.events(4),
            [await tablet.event() for _ in range(4)],
        ]
    for events in seen:
        opened, *messages = events
        assert opened["type"] == "conversation.created"
        assert opened["created"] == first["conversation"]
        assert opened["by"] == alice.name
        assert opened["members"] == sorted([alice.name, bob.name])
        assert [event["seq"] for event in messages] == [1, 2, 3]
        assert texts(messages) == ["from Autobahn", "from websockets", "from HTTP"]
        assert [content(event) for event in messages] == [content(event) for event in seen[0][1:]]
    await phone.close()
    await tablet.close()


def test_who_was_never_connected_gets_everything_on_the_first_sync(alice: Person, bob: Person) -> None:
    with alice.connect() as client:
        sent = [client.ask("message.send", client_id=str(n), to=bob.name, text=f"hello {n}") for n in range(3)]
    with bob.connect() as client:
        created, *messages = sorted(client.sync(), key=lambda event: event["type"])
    assert created["created"] == sent[0]["conversation"]
    assert [event["message_id"] for event in messages] == [reply["message_id"] for reply in sent]
    assert texts(messages) == ["hello 0", "hello 1", "hello 2"]


def test_a_page_of_sync_over_http_brings_the_same_events_as_a_websocket(alice: Person, bob: Person) -> None:
    with alice.connect() as client:
        for n in range(7):
            client.ask("message.send", client_id=str(n), to=bob.name, text=f"hello {n}")
    with bob.connect(device="socket") as client:
        over_socket = client.sync()
    over_http: list[Message] = []
    cursors: dict[str, int] = {}
    more = True
    while more:
        page = bob.http(device="http").post("/v1/sync", cursors=cursors, limit=3).body
        cursors |= {event["conversation"]: event["seq"] for event in page["events"]}
        over_http += page["events"]
        more = page["more"]
    assert sorted(over_http, key=str) == sorted(over_socket, key=str)


def test_it_is_the_same_conversation_whoever_opens_it(alice: Person, bob: Person) -> None:
    with alice.connect() as hers, bob.connect() as his:
        ids = [
            client.send("message.send", client_id="1", to=other, text="hi")
            for client, other in ((hers, bob.name), (his, alice.name))
        ]
        replies = [client.reply(id) for client, id in zip((hers, his), ids, strict=True)]
        listed = [client.ask("conversation.list")["conversations"] for client in (hers, his)]
    assert replies[0]["conversation"] == replies[1]["conversation"]
    assert {reply["seq"] for reply in replies} == {1, 2}
    assert [[one["conversation"] for one in page] for page in listed] == [[replies[0]["conversation"]]] * 2


def test_history_is_the_same_over_http_and_over_a_websocket(alice: Person, bob: Person) -> None:
    with alice.connect() as client:
        for n in range(5):
            sent = client.ask("message.send", client_id=str(n), to=bob.name, text=f"hello {n}", metadata={"n": str(n)})
        conversation = sent["conversation"]
        page = client.ask("history.get", conversation=conversation, around=3, limit=3)
    response = bob.http().get(f"/v1/conversations/{conversation}/history", around=3, limit=3)
    assert response.status == 200
    assert [message["seq"] for message in page["messages"]] == [2, 3, 4]
    assert {name: page[name] for name in ("messages", "older", "newer")} == response.body


def test_one_hears_how_far_the_other_was_reached(alice: Person, bob: Person) -> None:
    with alice.connect() as hers, bob.connect() as his:
        hers.sync()
        sent = hers.ask("message.send", client_id="1", to=bob.name, text="hi")
        hers.events(2)
        his.sync()
        his.ask("ack", conversation=sent["conversation"], seq=sent["seq"])
        assert hers.event() == {
            "type": "conversation.delivered",
            "conversation": sent["conversation"],
            "user": bob.name,
            "seq": sent["seq"],
        }
        described = hers.ask("conversation.get", conversation=sent["conversation"])
    assert {member["user"]: member["delivered"] for member in described["members"]} == {alice.name: 0, bob.name: 1}


def test_strangers_hear_nothing(alice: Person, bob: Person, person: Callable[..., Person], server: Server) -> None:
    with person("carol", server).connect() as hers, alice.connect() as client:
        assert hers.sync() == []
        client.ask("message.send", client_id="1", to=bob.name, text="between us")
        assert hers.ask("ping")["type"] == "ok"
        assert hers.read_events() == []
        assert hers.ask("conversation.list")["conversations"] == []
