"""Who may open a direct conversation: the product's policy, asked once, and never where a block stands."""

import pytest

from chatd.errors import Forbidden, Unavailable
from chatd.settings.model import ContactPolicy
from chatd.state.ids import direct
from tests.kit.at_once import at_once
from tests.kit.stores import new_client_id
from tests.kit.world import Asker, Chat

OURS = direct("alice", "bob")


def follow(who: Asker, user: str) -> None:
    who.ask("user.follow", client_id=new_client_id(), user=user)


def may_open(chat: Chat) -> bool:
    """Whether alice may write to bob for the first time."""
    bob = chat.connect("bob")
    asked = chat.http("alice").start("message.send", client_id=new_client_id(), to="bob", text="hi")
    if asked.error is None:
        return True
    assert isinstance(asked.error, Forbidden)
    assert "contact policy" in asked.error.detail
    assert bob.got == []
    assert OURS not in chat.database.logs
    return False


@pytest.mark.parametrize(
    ("policy", "alice_follows", "bob_follows", "allowed"),
    [
        ("anyone", False, False, True),
        ("followers", False, False, False),
        ("followers", True, False, False),
        ("followers", False, True, True),
        ("mutual", True, False, False),
        ("mutual", False, True, False),
        ("mutual", True, True, True),
    ],
)
def test_who_follows_whom_decides(policy: ContactPolicy, alice_follows: bool, bob_follows: bool, allowed: bool) -> None:
    chat = Chat(policy=policy)
    if alice_follows:
        follow(chat.http("alice"), "bob")
    if bob_follows:
        follow(chat.http("bob"), "alice")
    assert may_open(chat) is allowed


def test_once_they_talk_nobody_is_asked_again() -> None:
    chat = Chat(policy="mutual")
    alice, bob = chat.http("alice"), chat.http("bob")
    follow(alice, "bob")
    follow(bob, "alice")
    alice.send("hi", to="bob")
    alice.ask("user.unfollow", client_id="u", user="bob")
    elsewhere = Chat(chat.database, policy="mutual")
    for who, other in ((alice, "bob"), (bob, "alice"), (elsewhere.http("alice"), "bob")):
        who.send("still", to=other)
    assert len(chat.entries(OURS)) == 4


def test_everybody_may_write_to_themselves() -> None:
    for policy in ("followers", "mutual", "ask"):
        assert Chat(policy=policy).http("alice").send("note", to="alice").seq == 1


def test_the_product_decides_for_those_whom_no_block_keeps_apart() -> None:
    chat = Chat(policy="ask")
    assert not may_open(chat)
    chat.contacts.allowed.add(("alice", "bob"))
    assert may_open(chat)
    assert chat.contacts.asked == [("alice", "bob", "direct")] * 2
    chat.http("bob").send("hello", to="alice")
    assert len(chat.contacts.asked) == 2
    chat.http("alice").ask("user.block", client_id="b", user="carol")
    with pytest.raises(Forbidden, match="cannot write to each other"):
        chat.http("carol").send("hi", to="alice")
    assert len(chat.contacts.asked) == 2


def test_while_the_product_is_out_of_reach_it_is_worth_trying_again() -> None:
    chat = Chat(policy="ask")
    chat.contacts.allowed.add(("alice", "bob"))
    chat.contacts.down = True
    with pytest.raises(Unavailable):
        chat.http("alice").send("hi", to="bob", client_id="1")
    assert chat.database.logs == {}
    chat.contacts.down = False
    assert chat.http("alice").send("hi", to="bob", client_id="1").seq == 1


def test_an_invitation_is_asked_for_as_one() -> None:
    chat = Chat(policy="ask")
    chat.contacts.allowed.add(("alice", "bob"))
    at_once(chat.relations.check_contact("alice", "bob"))
    assert chat.contacts.asked == [("alice", "bob", "invitation")]
