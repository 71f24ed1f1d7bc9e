"""What one connection sends into one conversation is stored in the order sent, and nothing else waits for it."""

from collections.abc import Callable

from chatd.state.ids import direct
from tests.kit.clients import JSON, MSGPACK
from tests.kit.people import Person
from tests.kit.server import Server
from tests.kit.slow_opening import being_opened_elsewhere
from tests.kit.talk import acknowledged, send_frames, whole_history

SENDS = 500


def test_hundreds_sent_without_waiting_are_stored_in_the_order_sent(alice: Person, bob: Person) -> None:
    """The first of them opens the conversation, which takes longer than what follows."""
    with alice.raw() as raw:
        raw.message()
        raw.send(send_frames(range(SENDS), bob.name))
        assert acknowledged(raw, SENDS) == {number: number + 1 for number in range(SENDS)}
    with bob.connect() as client:
        conversation = client.ask("conversation.list")["conversations"][0]["conversation"]
        assert [m["text"] for m in whole_history(client, conversation)] == [f"m-{n}" for n in range(SENDS)]


def test_each_of_several_connections_keeps_its_own_order(alice: Person, bob: Person) -> None:
    with alice.raw() as one, alice.raw(device="two") as two, bob.raw() as his:
        connections = {"one": (one, bob), "two": (two, bob), "his": (his, alice)}
        for raw, _ in connections.values():
            raw.message()
        for prefix, (raw, to) in connections.items():
            raw.send(send_frames(range(SENDS), to.name, prefix=prefix))
        seqs = {prefix: acknowledged(raw, SENDS) for prefix, (raw, _) in connections.items()}
    for found in seqs.values():
        assert [found[number] for number in range(SENDS)] == sorted(found.values())
    assert sorted(seq for found in seqs.values() for seq in found.values()) == list(range(1, 3 * SENDS + 1))


def test_mixed_conversations_on_one_connection_keep_their_own_orders(
    alice: Person, bob: Person, person: Callable[..., Person], server: Server
) -> None:
    carol = person("carol", server)
    with alice.connect(subprotocol=MSGPACK) as client:
        sent = [
            (to.name, client.send("message.send", client_id=f"{to.name}-{n}", to=to.name, text=str(n)))
            for n in range(100)
            for to in (bob, carol)
        ]
        found = [(to, client.reply(id)["seq"]) for to, id in sent]
    for to in (bob, carol):
        assert [seq for name, seq in found if name == to.name] == list(range(1, 101))


def test_a_slow_conversation_holds_up_its_own_commands_and_no_others(
    alice: Person, bob: Person, person: Callable[..., Person], server: Server, database: str
) -> None:
    carol = person("carol", server)
    with alice.connect(subprotocol=JSON) as client:
        client.ask("message.send", client_id="opened", to=bob.name, text="hi")
        with being_opened_elsewhere(database, direct(alice.name, carol.name)):
            slow = [client.send("message.send", client_id=f"c-{n}", to=carol.name, text=f"c-{n}") for n in range(5)]
            quick = [client.send("message.send", client_id=f"b-{n}", to=bob.name, text=f"b-{n}") for n in range(5)]
            assert [client.reply(id)["seq"] for id in quick] == [2, 3, 4, 5, 6]
            assert client.ask("ping")["type"] == "ok"
            assert client.ask("sync")["type"] == "ok"
            assert not any(client.has_reply(id) for id in slow)
        assert [client.reply(id)["seq"] for id in slow] == [1, 2, 3, 4, 5]
