"""Whoever was away gets what was missed, once and in order, and goes on live without a gap."""

from collections import Counter
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.kit.clients import Message
from tests.kit.people import Person
from tests.kit.resilient import Reader, Sender, sending
from tests.kit.server import Sections, Server
from tests.kit.talk import acknowledged, as_messages, assert_follows, of, send_frames, whole_history


@pytest.fixture(scope="module")
def settings() -> Sections:
    """So much waits for those who read late that nobody here is ever told to be stale."""
    return {"limits": {"event_buffer_bytes": 1 << 26, "output_buffer_bytes": 1 << 27, "slow_reader_seconds": 600}}


def say(sender: Person, to: Person, *texts: str) -> Message:
    """Send so many messages; the last reply."""
    with sender.connect() as client:
        replies = [client.ask("message.send", client_id=uuid4().hex, to=to.name, text=text) for text in texts]
    assert all(reply["type"] == "ok" for reply in replies)
    return replies[-1]


def texts(events: list[Message]) -> list[str]:
    return [event["text"] for event in events if event["type"] == "message.created"]


def test_shown_cursors_bring_exactly_what_was_missed(alice: Person, bob: Person) -> None:
    conversation = say(alice, bob, "one", "two")["conversation"]
    with bob.connect() as client:
        had = client.sync()
        cursors = {event["conversation"]: event["seq"] for event in had}
    say(alice, bob, "three", "four")
    with bob.connect() as client:
        missed = client.sync(cursors=cursors)
        say(alice, bob, "five")
        live = [client.event()]
    assert texts(missed) == ["three", "four"]
    assert_follows(of(conversation, had) + missed + live, 0)


def test_the_server_keeps_a_cursor_for_each_device(alice: Person, bob: Person) -> None:
    conversation = say(alice, bob, "one", "two", "three")["conversation"]
    with bob.connect(device="phone") as phone, bob.connect(device="laptop") as laptop:
        queue = phone.hello["queue"]
        for client, seq in ((phone, 3), (laptop, 1)):
            client.sync()
            assert client.ask("ack", conversation=queue, seq=1)["type"] == "ok"
            assert client.ask("ack", conversation=conversation, seq=seq)["type"] == "ok"
    say(alice, bob, "four")
    with bob.connect(device="phone") as phone, bob.connect(device="laptop") as laptop:
        assert texts(phone.sync()) == ["four"]
        assert texts(laptop.sync()) == ["two", "three", "four"]
    with bob.connect(device="new") as new:
        assert texts(new.sync()) == ["one", "two", "three", "four"]


def test_a_shown_cursor_counts_more_than_the_kept_one(alice: Person, bob: Person) -> None:
    conversation = say(alice, bob, "one", "two", "three")["conversation"]
    with bob.connect() as client:
        client.ask("ack", conversation=conversation, seq=3)
        assert texts(client.sync(cursors={conversation: 1})) == ["two", "three"]
        assert texts(client.sync(cursors={conversation: 0})) == ["one", "two", "three"]


def test_an_ack_never_moves_a_cursor_back_or_beyond_the_end(alice: Person, bob: Person) -> None:
    conversation = say(alice, bob, "one", "two", "three")["conversation"]
    with bob.connect() as client:
        for seq in (2, 1, 0):
            assert client.ask("ack", conversation=conversation, seq=seq)["type"] == "ok"
        assert client.ask("ack", conversation=conversation, seq=4)["error"]["code"] == "invalid"
        assert texts(client.sync()) == ["three"]


def test_what_is_not_named_is_left_alone(alice: Person, bob: Person) -> None:
    conversation = say(alice, bob, "one", "two")["conversation"]
    with bob.connect() as client:
        assert len(client.sync()) == 3
        events = client.sync(scope="named", cursors={conversation: 1})
    assert [(event["conversation"], event["seq"]) for event in events] == [(conversation, 2)]


def test_a_cursor_that_is_none_of_the_log_is_told_and_starts_nothing_anew(alice: Person, bob: Person) -> None:
    conversation, nowhere = say(alice, bob, "one")["conversation"], str(uuid4())
    with bob.connect() as client:
        reply = client.ask("sync", cursors={conversation: 5, nowhere: 3})
        assert sorted(reply["reset"]) == sorted([conversation, nowhere])
        assert texts(client.read_events()) == []
        say(alice, bob, "two")
        assert client.event()["text"] == "two"


def test_over_http_the_kept_cursors_move_on_with_each_ack(alice: Person, bob: Person) -> None:
    say(alice, bob, *(f"m-{n}" for n in range(10)))
    client, seen = bob.http(device="poller"), []
    while events := client.post("/v1/sync", limit=4).body["events"]:
        seen += events
        for event in events:
            path = f"/v1/conversations/{event['conversation']}/ack"
            assert client.post(path, seq=event["seq"]).status == 200
    assert texts(seen) == [f"m-{n}" for n in range(10)]


def test_catching_up_slides_into_live_delivery_while_the_other_keeps_sending(alice: Person, bob: Person) -> None:
    """He comes back again and again, each time from the start of the log and for a while."""
    backlog, meanwhile = 1200, 0
    with alice.raw() as hers:
        hers.message()
        hers.send(send_frames(range(backlog), bob.name))
        acknowledged(hers, backlog)
    with alice.connect() as hers:
        conversation = hers.ask("conversation.list")["conversations"][0]["conversation"]
        sender = Sender(hers, bob.name)
        with sending(sender, start=backlog) as finish:
            while meanwhile <= 200:
                with bob.connect() as his:
                    reader, before = Reader(his), len(sender.acknowledged)
                    reader.sync()
                    meanwhile += len(sender.acknowledged) - before
                    log = reader.events[conversation]
                    enough = len(log) + 100
                    reader.read_until(lambda log=log, enough=enough: len(log) >= enough)
                    if meanwhile > 200:
                        finish()
                        reader.read_until(lambda log=log: len(log) == backlog + len(sender.acknowledged))
                    assert reader.stale == 0
        assert as_messages(log) == whole_history(hers, conversation)
    assert [event["text"] for event in log[:backlog]] == [f"m-{n}" for n in range(backlog)]


def test_coming_back_again_and_again_while_many_conversations_move_misses_and_repeats_nothing(
    alice: Person, server: Server, person: Callable[..., Person]
) -> None:
    """Most are level when she comes back, and some move at that very moment. She follows what she says elsewhere."""
    back = 50
    friends = [person("friend", server).name for _ in range(40)]
    with alice.connect() as hers:
        sender = Sender(hers, *friends)
        with alice.connect(device="reader") as client:
            reader = Reader(client)
            reader.sync()

        def received() -> int:
            return sum(len(events) for events in reader.events.values())

        with sending(sender, window=8) as finish:
            for _ in range(back):
                with alice.connect(device="reader") as client:
                    reader.resume(client)
                    enough = received() + 20
                    reader.read_until(lambda enough=enough: received() >= enough)
            finish()
        with alice.connect(device="reader") as client:
            reader.resume(client)
            reader.read_until(lambda: received() == len(sender.acknowledged) + len(friends))
    assert reader.stale == 0
    said = Counter(number % len(friends) for number in sender.acknowledged)
    followed = [len(events) for log, events in reader.events.items() if log != reader.queue]
    assert sorted(followed) == sorted(said.values())
    assert len(followed) == len(friends)


def test_many_conversations_are_caught_up_with_in_one_sync(
    bob: Person, server: Server, person: Callable[..., Person]
) -> None:
    friends = [person("friend", server) for _ in range(30)]
    for friend in friends:
        say(friend, bob, "one", "two", "three")
    with bob.connect() as client:
        reader = Reader(client)
        reader.sync()
        assert client.read_events() == []
        queue = reader.events.pop(client.hello["queue"])
    assert [event["by"] for event in queue] == [friend.name for friend in friends]
    assert [texts(events) for events in reader.events.values()] == [["one", "two", "three"]] * 30
