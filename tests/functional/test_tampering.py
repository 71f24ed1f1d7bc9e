"""What was altered in the database is recognised and not shown; everything else is as before."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest

from tests.kit.clients import Message
from tests.kit.people import Person
from tests.kit.server import Server
from tests.kit.talk import of, whole_history
from tests.kit.waiting import wait_for

FLIP_A_BIT = """
UPDATE chatd.messages SET sealed = set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 1)
WHERE conversation_id = %s AND seq = %s
"""
SHORTEN = "UPDATE chatd.messages SET sealed = substr(sealed, 1, 5) WHERE conversation_id = %s AND seq = %s"
EMPTY = "UPDATE chatd.messages SET sealed = '' WHERE conversation_id = %s AND seq = %s"
MOVE = """
UPDATE chatd.messages AS m SET sealed = o.sealed FROM chatd.messages AS o
WHERE m.conversation_id = o.conversation_id AND m.conversation_id = %s AND (m.seq, o.seq) IN ((2, 3), (3, 2))
"""
OTHER_AUTHOR = "UPDATE chatd.messages SET author = %s WHERE conversation_id = %s AND seq = 2"
SPOIL_THE_KEY = """
UPDATE chatd.data_keys
SET wrapped = set_byte(wrapped, length(wrapped) - 1, 255 - get_byte(wrapped, length(wrapped) - 1))
WHERE user_id = %s
"""
SWAP_THE_KEYS = """
UPDATE chatd.data_keys AS k SET wrapped = o.wrapped, master = o.master FROM chatd.data_keys AS o
WHERE (k.user_id, o.user_id) IN ((%(one)s, %(other)s), (%(other)s, %(one)s))
"""
FROM_ELSEWHERE = """
UPDATE chatd.messages AS m SET sealed = o.sealed, client_id = o.client_id, at = o.at FROM chatd.messages AS o
WHERE m.conversation_id = %s AND m.seq = 2 AND o.conversation_id = %s AND o.seq = 1
"""
SWAP_CHANGES = """
UPDATE chatd.changes AS c SET sealed = o.sealed FROM chatd.changes AS o
WHERE c.conversation_id = o.conversation_id AND c.conversation_id = %(conversation)s
  AND (c.seq, o.seq) IN ((%(one)s, %(other)s), (%(other)s, %(one)s))
"""
TITLE_OF_ANOTHER = """
UPDATE chatd.changes AS c SET sealed = o.sealed FROM chatd.changes AS o
WHERE c.conversation_id = %s AND o.conversation_id = %s AND c.seq = 1 AND o.seq = 1
"""
PROFILE_OF_ANOTHER = """
UPDATE chatd.profiles AS p SET sealed = o.sealed, client_id = o.client_id FROM chatd.profiles AS o
WHERE p.user_id = %s AND o.user_id = %s
"""
DESTROY_THE_KEY = "DELETE FROM chatd.data_keys WHERE user_id = %s"

Execute = Callable[..., None]


@pytest.fixture
def execute(database: str) -> Iterator[Execute]:
    with closing(psycopg2.connect(database)) as connection:
        connection.autocommit = True

        def run(sql: str, *values: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute(sql, values[0] if values and isinstance(values[0], dict) else values)
                assert cursor.rowcount > 0

        yield run


@pytest.fixture
def conversation(alice: Person, bob: Person) -> str:
    """Four messages: alice's at 1, 2 and 3, bob's at 4."""
    with alice.connect() as client:
        for n in range(1, 4):
            sent = client.ask("message.send", client_id=str(n), to=bob.name, text=f"text {n}", metadata={"n": str(n)})
    with bob.connect() as client:
        client.ask("message.send", client_id="4", to=alice.name, text="text 4")
    return str(sent["conversation"])


def views(bob: Person, conversation: str) -> list[list[Message]]:
    """The conversation in history and in sync, over a WebSocket and over HTTP."""
    with bob.connect() as client:
        return [
            whole_history(client, conversation),
            of(conversation, client.sync()),
            bob.http().get(f"/v1/conversations/{conversation}/history").body["messages"],
            of(conversation, bob.http().post("/v1/sync").body["events"]),
        ]


def assert_unreadable(server: Server, bob: Person, conversation: str, seqs: set[int]) -> None:
    """Those and no others are shown as unreadable, without a trace of what they said, and each is logged."""
    for view in views(bob, conversation):
        assert [message["seq"] for message in view] == [1, 2, 3, 4]
        for message in view:
            if message["seq"] in seqs:
                assert message["unreadable"] is True
                assert "text" not in message
                assert "metadata" not in message
            else:
                assert "unreadable" not in message
                assert message["text"] == f"text {message['seq']}"
    for seq in seqs:
        wait_for(lambda seq=seq: f"unreadable: {conversation} {seq} of" in server.log)


@pytest.mark.parametrize("alter", [FLIP_A_BIT, SHORTEN, EMPTY], ids=["a flipped bit", "shortened", "empty"])
def test_an_altered_body_is_unreadable_and_the_others_are_not(
    alter: str, execute: Execute, server: Server, bob: Person, conversation: str
) -> None:
    execute(alter, conversation, 2)
    assert_unreadable(server, bob, conversation, {2})


def test_bodies_that_changed_places_are_unreadable(
    execute: Execute, server: Server, bob: Person, conversation: str
) -> None:
    execute(MOVE, conversation)
    assert_unreadable(server, bob, conversation, {2, 3})


def test_a_body_under_another_name_is_unreadable(
    execute: Execute, server: Server, bob: Person, conversation: str
) -> None:
    execute(OTHER_AUTHOR, bob.name, conversation)
    assert_unreadable(server, bob, conversation, {2})


def test_a_row_of_another_conversation_is_unreadable(
    execute: Execute, server: Server, alice: Person, bob: Person, conversation: str, person: Callable[..., Person]
) -> None:
    with alice.connect() as client:
        other = client.ask("message.send", client_id="elsewhere", to=person("carol", server).name, text="not for bob")
    execute(FROM_ELSEWHERE, conversation, other["conversation"])
    assert_unreadable(server, bob, conversation, {2})


def test_keys_that_changed_owners_open_nothing(
    execute: Execute, server: Server, alice: Person, bob: Person, conversation: str
) -> None:
    execute(SWAP_THE_KEYS, {"one": alice.name, "other": bob.name})
    server.stop()
    server.start()
    assert_unreadable(server, bob, conversation, {1, 2, 3, 4})
    with alice.connect() as client:
        reply = client.ask("message.send", client_id="5", to=bob.name, text="text 5")
        assert reply["error"]["detail"] == "The data key of this person cannot be opened."
        assert client.ask("ping")["type"] == "ok"
    with bob.connect() as client:
        assert client.ask("sync")["type"] == "ok"


def test_edits_and_reactions_that_changed_places_are_unreadable(
    execute: Execute, server: Server, alice: Person, bob: Person, conversation: str
) -> None:
    with alice.connect() as client:
        for seq in (1, 2):
            client.ask("message.edit", client_id=f"e{seq}", conversation=conversation, seq=seq, text=f"edited {seq}")
        for seq, emoji in ((3, "\N{THUMBS UP SIGN}"), (4, "\N{THUMBS DOWN SIGN}")):
            client.ask("reaction.add", client_id=f"r{seq}", conversation=conversation, seq=seq, emoji=emoji)
    for one, other in ((5, 6), (7, 8)):
        execute(SWAP_CHANGES, {"conversation": conversation, "one": one, "other": other})
    with bob.connect() as client:
        shown = whole_history(client, conversation)
        assert [(message.get("text"), message.get("unreadable", False)) for message in shown] == [
            (None, True),
            (None, True),
            ("text 3", False),
            ("text 4", False),
        ]
        assert not any("reactions" in message for message in shown)
        for seq in (3, 4):
            [reacting] = client.ask("reaction.list", conversation=conversation, seq=seq)["reactions"]
            assert (reacting["user"], reacting["unreadable"], "emoji" in reacting) == (alice.name, True, False)
    for seq in (5, 6, 7, 8):
        wait_for(lambda seq=seq: f"unreadable: {conversation} {seq} of" in server.log)


def test_a_title_and_a_profile_of_another_are_not_shown(
    execute: Execute, server: Server, alice: Person, bob: Person
) -> None:
    groups = []
    with alice.connect() as client, bob.connect() as other:
        for title in ("ours", "theirs"):
            made = client.ask("group.create", client_id=title, title=title, members=[bob.name])
            groups.append(made["conversation"])
        client.ask("user.update", client_id="p", name="Alice")
        other.ask("user.update", client_id="p", name="Bob")
        execute(TITLE_OF_ANOTHER, *groups)
        execute(PROFILE_OF_ANOTHER, alice.name, bob.name)
        shown = [other.ask("group.get", conversation=group) for group in groups]
        assert [(group["title"], group.get("unreadable", False)) for group in shown] == [("", True), ("theirs", False)]
        profiles = other.ask("user.get", users=[alice.name, bob.name])["profiles"]
        assert [(one["user"], one["name"]) for one in profiles] == [(bob.name, "Bob")]
    wait_for(lambda: f"unreadable: {groups[0]} 1 of" in server.log)
    wait_for(lambda: re.search(rf"unreadable: \S+ \d+ of '?{alice.name}", server.log))


def test_the_conversation_goes_on(execute: Execute, alice: Person, bob: Person, conversation: str) -> None:
    with alice.connect() as client:
        execute(FLIP_A_BIT, conversation, 3)
        assert client.ask("message.send", client_id="5", to=bob.name, text="text 5")["seq"] == 5
        repeated = client.ask("message.send", client_id="3", to=bob.name, text="text 3", metadata={"n": "3"})
        assert repeated["seq"] == 3
        assert [message.get("text") for message in whole_history(client, conversation)] == [
            "text 1",
            "text 2",
            None,
            "text 4",
            "text 5",
        ]


@pytest.mark.parametrize("end", [SPOIL_THE_KEY, DESTROY_THE_KEY], ids=["spoilt", "destroyed"])
def test_without_a_persons_key_all_that_they_wrote_is_unreadable_and_nothing_else(
    end: str, execute: Execute, server: Server, alice: Person, bob: Person, conversation: str
) -> None:
    execute(end, alice.name)
    # Or else it has the key in memory.
    server.stop()
    server.start()
    assert_unreadable(server, bob, conversation, {1, 2, 3})
