"""What somebody wrote whose key was destroyed: nobody reads it, and nobody takes it for altered."""

import pytest

from chatd.handlers.introductions import Introductions
from chatd.handlers.messages import MessageCreated
from chatd.handlers.profiles import ProfilesChanged
from chatd.records.tokens import Claims
from chatd.state.authors import UNDER_WAY
from tests.kit.at_once import at_once
from tests.kit.world import Asker, Chat, altered


@pytest.fixture
def ours(alice: Asker, bob: Asker) -> str:
    """Two messages of alice's and one of bob's."""
    place = [alice.send("a", to="bob"), alice.send("b", to="bob"), bob.send("c", to="alice")][0]
    return str(place.conversation)


def shred(chat: Chat, user: str) -> None:
    """As the operator's command and the watch of each worker do."""
    assert at_once(chat.stores.keys.destroy(user)) is not None
    chat.authors.forget(user)
    chat.exchange.heed(ProfilesChanged(users=(user,)))


def pass_under_way(chat: Chat) -> None:
    """Each look at the database's clock takes a second."""
    for _ in range(round(UNDER_WAY.total_seconds())):
        chat.database.now()


def shown(asker: Asker, conversation: str) -> list[tuple[str, bool]]:
    messages = asker.ask("history.get", conversation=conversation).messages
    events = [event for event in asker.ask("sync").events if isinstance(event, MessageCreated)]
    assert [(one.text, one.unreadable) for one in events] == [(one.text, one.unreadable) for one in messages]
    return [(one.text, one.unreadable) for one in messages]


def test_all_that_they_wrote_is_unreadable_to_everybody_and_nothing_else_is(
    chat: Chat, alice: Asker, bob: Asker, ours: str
) -> None:
    shred(chat, "alice")
    assert shown(bob, ours) == shown(alice, ours) == [("", True), ("", True), ("c", False)]
    assert chat.unreadable == []


def test_whoever_comes_back_is_read_from_then_on(chat: Chat, alice: Asker, bob: Asker, ours: str) -> None:
    shred(chat, "alice")
    alice.send("back", to="bob")
    assert shown(bob, ours) == [("", True), ("", True), ("c", False), ("back", False)]
    assert chat.unreadable == []
    assert shown(Chat(chat.database).http("bob"), ours)[3] == ("back", False)


def test_what_they_write_later_is_still_guarded(chat: Chat, alice: Asker, bob: Asker, ours: str) -> None:
    """To be shredded once does not make somebody's later words free to be altered in silence."""
    shred(chat, "alice")
    pass_under_way(chat)
    alice.send("back", to="bob")
    entries = chat.entries(ours)
    entries[3] = altered(entries[3])
    assert shown(bob, ours)[3] == ("", True)
    assert {(entry.seq, reason) for entry, reason in chat.unreadable} == {
        (4, "the body was sealed by another key, for another place, or was altered")
    }


def test_what_was_under_way_when_the_key_was_destroyed_is_erased_like_the_rest(
    chat: Chat, alice: Asker, bob: Asker, ours: str
) -> None:
    assert at_once(chat.stores.keys.destroy("alice")) is not None
    alice.send("old key", to="bob")
    chat.authors.forget("alice")
    alice.send("new key", to="bob")
    assert shown(bob, ours)[3:] == [("", True), ("new key", False)]
    assert chat.unreadable == []


def test_a_key_that_vanished_without_being_destroyed_is_a_fault(chat: Chat, bob: Asker, ours: str) -> None:
    del chat.database.keys["alice"]
    chat.authors.forget("alice")
    assert shown(bob, ours)[:2] == [("", True), ("", True)]
    assert {reason for _, reason in chat.unreadable} == {"the author has no key, or no longer"}


def test_their_profile_is_gone_at_once(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.ask("user.update", client_id="p", name="Alice")
    assert [one.name for one in bob.ask("user.get", users=["alice"]).profiles] == ["Alice"]
    shred(chat, "alice")
    assert bob.ask("user.get", users=["alice"]).profiles == []
    assert chat.unreadable == []


def test_the_title_that_they_gave_a_group_is_unreadable_until_somebody_gives_another(chat: Chat, alice: Asker) -> None:
    group = alice.ask("group.create", client_id="g", title="ours", members=["bob"]).conversation
    shred(chat, "alice")
    info = alice.ask("group.get", conversation=group)
    assert (info.title, info.unreadable) == ("", True)
    alice.ask("group.update", client_id="h", conversation=group, title="anew")
    assert alice.ask("group.get", conversation=group).title == "anew"
    assert chat.unreadable == []


def test_who_comes_back_with_the_same_token_has_its_name_again(chat: Chat, bob: Asker) -> None:
    known = Introductions(chat.stores.profiles, chat.authors, chat.reader, chat.bus, chat.exchange)
    token = Claims(user="alice", issuer="auth", expires_at=1e12, name="Alice")
    at_once(known.introduce(token))
    assert not known.are_news(token)
    shred(chat, "alice")
    chat.database.people.profiles.pop("alice")
    assert known.are_news(token)
    at_once(known.introduce(token))
    assert [one.name for one in bob.ask("user.get", users=["alice"]).profiles] == ["Alice"]
