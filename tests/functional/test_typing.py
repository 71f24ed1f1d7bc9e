"""Typing through the real server."""

from tests.kit.people import Person


def test_typing_is_told_on_both_ways_in_and_ends_with_a_message(alice: Person, bob: Person) -> None:
    with alice.connect() as hers, bob.connect() as his, bob.connect(device="laptop") as laptop:
        conversation = hers.ask("message.send", client_id="1", to=bob.name, text="hi")["conversation"]
        for client in (hers, his, laptop):
            client.sync()
        hers.ask("typing.start", conversation=conversation)
        started = {"type": "typing.started", "conversation": conversation, "user": alice.name, "expires_in_ms": 6000}
        stopped = {"type": "typing.stopped", "conversation": conversation, "user": alice.name}
        assert his.event() == laptop.event() == started
        assert alice.http().post(f"/v1/conversations/{conversation}/typing/stop").status == 200
        assert his.event() == laptop.event() == stopped
        bob.http().post(f"/v1/conversations/{conversation}/typing/start")
        assert hers.event() == started | {"user": bob.name}
        his.ask("message.send", client_id="1", conversation=conversation, text="so?")
        assert [event["type"] for event in hers.events(2)] == ["message.created", "typing.stopped"]


def test_typing_ends_when_the_connection_does_and_is_nothing_to_those_who_come_later(
    alice: Person, bob: Person
) -> None:
    with alice.connect() as hers, bob.connect() as his:
        conversation = hers.ask("message.send", client_id="1", to=bob.name, text="hi")["conversation"]
        his.sync()
        hers.ask("typing.start", conversation=conversation)
        assert his.event()["type"] == "typing.started"
        hers.close()
        assert his.event()["type"] == "typing.stopped"
    with bob.connect(device="later") as later:
        assert {event["type"] for event in later.sync()} == {"message.created", "conversation.created"}


def test_typing_expires_by_itself(alice: Person, bob: Person) -> None:
    with bob.connect() as his:
        conversation = his.ask("message.send", client_id="1", to=alice.name, text="hi")["conversation"]
        his.sync()
        alice.http().post(f"/v1/conversations/{conversation}/typing/start")
        assert [event["type"] for event in his.events(2)] == ["typing.started", "typing.stopped"]
