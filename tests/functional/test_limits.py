"""What is large, and within the limits, gets through."""

import random
import string
from collections.abc import Callable
from uuid import UUID

from chatd.handlers.sync import MAX_CURSORS
from tests.kit.people import Person
from tests.kit.server import Server


def test_compressed_a_reply_larger_than_any_request_arrives_and_so_does_all_that_was_missed(
    start_server: Callable[..., Server], person: Callable[..., Person]
) -> None:
    server = start_server({"limits": {"compression": True}})
    alice = person("alice", server)
    chance = random.Random(1)
    texts = ["".join(chance.choices(string.printable, k=4000)) for _ in range(100)]
    with alice.connect(compression="deflate") as client:
        sent = [
            client.ask("message.send", client_id=f"c{number}", to="bob", text=text) for number, text in enumerate(texts)
        ]
        page = client.ask("history.get", conversation=sent[0]["conversation"], limit=100)
        missed = client.sync()
    assert [message["text"] for message in page["messages"]] == texts
    assert [event["text"] for event in missed if event["type"] == "message.created"] == texts
    assert "Traceback" not in server.log


def test_as_many_cursors_as_a_sync_may_show_fit_into_one_message(server: Server, alice: Person) -> None:
    cursors = {str(UUID(int=number)): 2**53 - 1 for number in range(MAX_CURSORS)}
    with alice.connect() as client:
        reply = client.ask("sync", cursors=cursors)
    assert len(reply["reset"]) == MAX_CURSORS
    assert len(alice.http().post("/v1/sync", cursors=cursors).body["reset"]) == MAX_CURSORS
