"""Reactions, messages deleted for oneself, and forwards, from the socket to PostgreSQL and back."""

from collections.abc import Callable
from contextlib import closing

import psycopg2
import pytest

from tests.kit.clients import MSGPACK, Message
from tests.kit.people import Person
from tests.kit.server import Sections, Server
from tests.kit.talk import of, whole_history

THUMB, HEART, FAMILY = "\U0001f44d", "\u2764\ufe0f", "\U0001f469\u200d\U0001f469\u200d\U0001f467"


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"limits": {"max_reactions": 2}}


@pytest.fixture
def carol(person: Callable[..., Person], server: Server) -> Person:
    return person("carol", server)


@pytest.fixture
def place(alice: Person, bob: Person) -> Message:
    """Where a message of alice's to bob stands."""
    sent = alice.http().post("/v1/messages", client_id="1", to=bob.name, text="a").body
    return {"conversation": sent["conversation"], "seq": 1}


def path(place: Message, rest: str) -> str:
    return f"/v1/conversations/{place['conversation']}/messages/{place['seq']}/{rest}"


# -- reactions --


def test_reactions_reach_who_listens_and_who_comes_later(alice: Person, bob: Person, place: Message) -> None:
    conversation = place["conversation"]
    with alice.connect() as listener, bob.connect(subprotocol=MSGPACK) as client:
        listener.sync()
        added = client.ask("reaction.add", client_id="1", emoji=THUMB, **place)
        assert (added["conversation"], added["seq"]) == (conversation, 2)
        response = bob.http().post(path(place, "reactions/add"), client_id="2", emoji=FAMILY)
        assert (response.status, response.body["seq"]) == (200, 3)
        removed = bob.http().post(path(place, "reactions/remove"), client_id="3", emoji=THUMB)
        assert (removed.status, removed.body["seq"]) == (200, 4)
        listener.ask("reaction.add", client_id="1-hers", emoji=FAMILY, **place)
        live = listener.events(4)
    with alice.connect(device="another") as later:
        caught_up = of(conversation, later.sync())
    assert caught_up == page(alice, conversation)
    assert caught_up[1:] == live
    assert [(event["type"], event["by"], event["emoji"]) for event in live] == [
        ("reaction.added", bob.name, THUMB),
        ("reaction.added", bob.name, FAMILY),
        ("reaction.removed", bob.name, THUMB),
        ("reaction.added", alice.name, FAMILY),
    ]
    assert {event["message_id"] for event in live} == {caught_up[0]["message_id"]}
    [message] = alice.http().get(f"/v1/conversations/{conversation}/history").body["messages"]
    assert message["reactions"] == [{"emoji": FAMILY, "count": 2, "mine": True}]
    found = alice.http().get(path(place, "reactions"), emoji=FAMILY, limit=1).body
    assert [(one["user"], one["emoji"], one["seq"]) for one in found["reactions"]] == [(bob.name, FAMILY, 3)]
    assert found["newer"]


def page(person: Person, conversation: str) -> list[Message]:
    """All events of a conversation, as one page of HTTP."""
    synced = person.http(device="third").post("/v1/sync", cursors={conversation: 0}, scope="named").body
    return list(synced["events"])


def test_a_reaction_sent_again_is_stored_once_and_what_is_so_already_is_refused(bob: Person, place: Message) -> None:
    with bob.connect() as client:
        first = client.ask("reaction.add", client_id="1", emoji=HEART, **place)
        again = bob.http().post(path(place, "reactions/add"), client_id="1", emoji=HEART).body
        assert again == {name: first[name] for name in ("conversation", "seq", "time")}
        refused = {
            "unchanged": {"client_id": "2", "emoji": "\u2764"},
            "conflict": {"client_id": "1", "emoji": THUMB},
            "invalid": {"client_id": "3", "emoji": "ok"},
        }
        for code, fields in refused.items():
            error = client.ask("reaction.add", **fields, **place)["error"]
            response = bob.http().post(path(place, "reactions/add"), **fields)
            assert error["code"] == response.body["code"] == code
            assert error["status"] == response.status
        error = client.ask("reaction.remove", client_id="4", emoji=THUMB, **place)["error"]
        assert (error["code"], error["status"]) == ("unchanged", 409)
        assert client.ask("reaction.add", client_id="5", emoji=THUMB, **place)["type"] == "ok"
        error = client.ask("reaction.add", client_id="6", emoji=FAMILY, **place)["error"]
        assert (error["code"], error["status"]) == ("forbidden", 403)
        response = bob.http().get(path(place, "reactions"), emoji="no")
        assert (response.status, response.body["code"]) == (400, "invalid")
        assert [event["seq"] for event in of(place["conversation"], client.sync())] == [1, 2, 3]


def test_a_deleted_message_leaves_no_trace_of_the_reactions_to_it(
    alice: Person, bob: Person, place: Message, database: str
) -> None:
    for number, emoji in enumerate((THUMB, HEART)):
        bob.http().post(path(place, "reactions/add"), client_id=f"{number}", emoji=emoji)
    bob.http().post(path(place, "reactions/remove"), client_id="9", emoji=HEART)
    deleted = alice.http().post(path(place, "delete"), client_id="d")
    assert deleted.status == 200
    assert bob.http().get(path(place, "reactions")).status == 404
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT count(*) FROM chatd.reactions WHERE conversation_id = %(id)s),
                   (SELECT count(*) FROM chatd.reaction_counts WHERE conversation_id = %(id)s),
                   (SELECT max(length(sealed)) FROM chatd.changes
                    WHERE conversation_id = %(id)s AND kind LIKE 'reaction.%%')
            """,
            {"id": place["conversation"]},
        )
        assert cursor.fetchone() == (0, 0, 0)
    with bob.connect(device="another") as later:
        told = of(place["conversation"], later.sync())
    assert [event.get("deleted", False) for event in told] == [True, True, True, True, False]


# -- deleting for oneself --


def test_a_message_hidden_on_one_device_is_hidden_on_all_and_for_nobody_else(
    alice: Person, bob: Person, place: Message
) -> None:
    conversation = place["conversation"]
    alice.http().post(path(place, "edit"), client_id="2", text="A")
    with bob.connect(device="phone") as phone, bob.connect(device="laptop") as laptop, alice.connect() as hers:
        for client in (phone, laptop, hers):
            client.sync()
        hidden = phone.ask("message.hide", client_id="1", **place)
        assert hidden["conversation"] == phone.hello["queue"]
        events = [phone.event(), laptop.event()]
        again = bob.http().post(path(place, "hide"), client_id="1").body
        assert again == {name: hidden[name] for name in ("conversation", "seq", "time")}
        refused = bob.http().post(path(place, "hide"), client_id="2")
        assert (refused.status, refused.body["code"]) == (409, "unchanged")
        # Had she been told anything of it, that would come first.
        hers.ask("message.send", client_id="3", conversation=conversation, text="b")
        assert hers.event()["text"] == "b"
        [tombstone, _] = whole_history(phone, conversation)
        [message, _] = whole_history(hers, conversation)
    assert events == [events[0]] * 2
    assert (events[0]["type"], events[0]["message"], events[0]["seq"]) == ("message.hidden", place, hidden["seq"])
    assert (tombstone.get("text"), tombstone["hidden"], tombstone["seq"]) == (None, True, 1)
    assert (message["text"], message.get("hidden")) == ("A", None)
    with bob.connect(device="another") as later:
        missed = later.sync()
        assert events[0] in missed
    assert [(event.get("text"), event.get("hidden")) for event in of(conversation, missed)] == [
        (None, True),
        (None, True),
        ("b", None),
    ]
    assert page(bob, conversation) == of(conversation, missed)
    assert bob.http().get(path(place, "versions")).body == {"versions": []}


# -- forwarding --


def test_a_forwarded_message_names_who_said_it_and_is_sent_once(
    alice: Person, bob: Person, carol: Person, place: Message
) -> None:
    with bob.connect() as client, carol.connect() as listener:
        listener.sync()
        forwarded = client.ask("message.forward", client_id="f", to=carol.name, **place)
        events = listener.events(2)
        alice.http().post(path(place, "edit"), client_id="2", text="A")
        again = bob.http().post(path(place, "forward"), client_id="f", to=carol.name).body
        alice.http().post(path(place, "delete"), client_id="3")
        assert client.ask("message.forward", client_id="f", to=carol.name, **place)["seq"] == forwarded["seq"]
        error = client.ask("message.forward", client_id="f", to=alice.name, **place)["error"]
        assert (error["code"], error["status"]) == ("conflict", 409)
        gone = bob.http().post(path(place, "forward"), client_id="g", to=carol.name)
        assert (gone.status, gone.body["code"]) == (404, "not_found")
        neither = bob.http().post(path(place, "forward"), client_id="h")
        assert (neither.status, neither.body["code"]) == (400, "invalid")
        [message] = whole_history(listener, forwarded["conversation"])
    assert again == {name: forwarded[name] for name in ("message_id", "conversation", "seq", "time")}
    [event] = [event for event in events if event["type"] == "message.created"]
    assert (event["text"], event["sender"], event["forwarded_from"]) == ("a", bob.name, alice.name)
    assert (message["text"], message["forwarded_from"]) == ("a", alice.name)
    assert place["conversation"] not in str(events)
    with carol.connect(device="another") as later:
        assert event in later.sync()
