"""Edits and deletions, from the socket to PostgreSQL and back."""

from contextlib import closing

import psycopg2

from tests.kit.people import Person
from tests.kit.server import Server
from tests.kit.talk import of, whole_history


def test_an_edit_and_a_deletion_reach_who_listens_and_who_comes_later(alice: Person, bob: Person) -> None:
    with alice.connect() as client, bob.connect() as listener:
        first = client.ask("message.send", client_id="1", to=bob.name, text="a")
        conversation = first["conversation"]
        listener.sync()
        client.ask("message.send", client_id="2", conversation=conversation, text="b")
        place = {"conversation": conversation, "seq": 1}
        assert client.ask("message.edit", client_id="3", text="A", **place)["seq"] == 3
        path = f"/v1/conversations/{conversation}/messages/2/delete"
        deleted = alice.http().post(path, client_id="4").body
        assert deleted["seq"] == 4
        assert alice.http().post(path, client_id="4").body == deleted
        live = listener.events(3)
        assert [event["type"] for event in live] == ["message.created", "message.edited", "message.deleted"]
        assert live[1]["message_id"] == first["message_id"]
        versions = listener.ask("message.versions", **place)["versions"]
        assert [version["text"] for version in versions] == ["a", "A"]
    with bob.connect(device="another") as later:
        history = whole_history(later, conversation)
        events = of(conversation, later.sync())
    assert [(message.get("text"), message.get("deleted")) for message in history] == [("A", None), (None, True)]
    assert [(event["seq"], event.get("text"), event.get("deleted")) for event in events] == [
        (1, "a", None),
        (2, None, True),
        (3, "A", None),
        (4, None, None),
    ]


def test_a_deleted_message_and_its_edits_leave_no_ciphertext(
    server: Server, alice: Person, bob: Person, database: str
) -> None:
    with alice.connect() as client:
        sent = client.ask("message.send", client_id="1", to=bob.name, text="a")
        place = {"conversation": sent["conversation"], "seq": 1}
        client.ask("message.edit", client_id="2", text="b", **place)
        client.ask("message.delete", client_id="3", **place)
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT length(sealed) FROM chatd.messages WHERE conversation_id = %(id)s
            UNION ALL SELECT length(sealed) FROM chatd.changes WHERE conversation_id = %(id)s AND target_seq = 1
                AND kind = 'message.edited'
            """,
            {"id": sent["conversation"]},
        )
        assert cursor.fetchall() == [(0,), (0,)]
