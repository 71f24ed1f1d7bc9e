"""A command that is sent again gets its first reply; the same ``client_id`` with anything else is a conflict."""

import pytest

from tests.kit.clients import JSON, MSGPACK, Message
from tests.kit.people import Person
from tests.kit.talk import whole_history


def bare(reply: Message) -> Message:
    """A reply without what names its request."""
    return {name: value for name, value in reply.items() if name not in ("id", "type")}


def test_a_repeat_gets_the_first_reply_by_whichever_way_and_is_stored_once(alice: Person, bob: Person) -> None:
    said = {"client_id": "again", "to": bob.name, "text": "once", "metadata": {"a": "1", "b": "2"}}
    with alice.connect(device="phone") as client:
        first = bare(client.ask("message.send", **said))
        client.ask("message.send", client_id="other", to=bob.name, text="in between")
        assert bare(client.ask("message.send", **said)) == first
        assert bare(client.ask("message.send", **{**said, "metadata": {"b": "2", "a": "1"}})) == first
    with alice.connect(device="laptop", subprotocol=MSGPACK) as client:
        assert bare(client.ask("message.send", **said)) == first
        history = whole_history(client, first["conversation"])
    assert alice.http().post("/v1/messages", **said).body == first
    assert [message["text"] for message in history] == ["once", "in between"]


@pytest.mark.parametrize("change", ["text", "metadata", "person"])
def test_other_content_under_the_same_client_id_is_a_conflict(change: str, alice: Person, bob: Person) -> None:
    said = {"client_id": "again", "to": bob.name, "text": "once", "metadata": {"a": "1"}}
    others = {"text": {"text": "twice"}, "metadata": {"metadata": {"a": "2"}}, "person": {"to": alice.name}}
    with alice.connect(subprotocol=JSON) as client:
        first = client.ask("message.send", **said)
        for _ in range(2):
            error = client.ask("message.send", **{**said, **others[change]})["error"]
            assert (error["code"], error["status"], error["retryable"]) == ("conflict", 409, False)
        response = alice.http().post("/v1/messages", **{**said, **others[change]})
        assert (response.status, response.body["code"]) == (409, "conflict")
        assert len(whole_history(client, first["conversation"])) == 1


def test_many_repeats_at_once_are_stored_once(alice: Person, bob: Person) -> None:
    with alice.connect(device="one") as one, alice.connect(device="two") as two:
        sent = [
            (client, client.send("message.send", client_id=f"n-{n % 5}", to=bob.name, text=f"n-{n % 5}"))
            for n in range(50)
            for client in (one, two)
        ]
        replies = [bare(client.reply(id)) for client, id in sent]
        history = whole_history(one, replies[0]["conversation"])
    assert sorted(message["text"] for message in history) == [f"n-{n}" for n in range(5)]
    assert len({str(reply) for reply in replies}) == 5


def test_of_different_messages_at_once_under_one_client_id_one_wins(alice: Person, bob: Person) -> None:
    with alice.connect() as client:
        ids = [client.send("message.send", client_id="same", to=bob.name, text=f"n-{n}") for n in range(10)]
        replies = [client.reply(id) for id in ids]
        stored = [reply for reply in replies if reply["type"] == "ok"]
        assert len(stored) == 1
        assert {reply["error"]["code"] for reply in replies if reply["type"] == "error"} == {"conflict"}
        assert [message["text"] for message in whole_history(client, stored[0]["conversation"])] == ["n-0"]


def test_two_people_may_use_the_same_client_id(alice: Person, bob: Person) -> None:
    with alice.connect() as hers, bob.connect() as his:
        assert hers.ask("message.send", client_id="1", to=bob.name, text="hi")["seq"] == 1
        assert his.ask("message.send", client_id="1", to=alice.name, text="hi")["seq"] == 2


def test_a_refused_command_uses_no_client_id_up(alice: Person, bob: Person) -> None:
    with alice.connect() as client:
        assert client.ask("message.send", client_id="1", to=bob.name, text="x" * 4001)["error"]["code"] == "too_large"
        assert client.ask("message.send", client_id="1", to=bob.name, text="shorter")["type"] == "ok"
