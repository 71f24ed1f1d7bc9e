"""Profiles: one's own to give, others' to read, and nothing of them where a block stands."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from chatd.errors import Conflict, OutcomeUnknown, TooLarge
from chatd.handlers.introductions import Introductions
from chatd.handlers.profiles import KEPT_SECONDS, Profile, ProfileUpdated
from chatd.records.logs import Entry
from chatd.records.tokens import Claims
from chatd.security.sealing import Unreadable
from chatd.store.memory.people import MemoryProfiles
from chatd.wire.events import LogEvent
from tests.kit.at_once import at_once
from tests.kit.stores import new_client_id
from tests.kit.world import OTHER_MASTERS, Asker, Chat, altered
from tests.kit.writing import LOST

PICTURE = "https://example.com/alice.png"


def update(who: Asker, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    return who.ask("user.update", **fields)


def profiles(who: Asker, *users: str) -> list[Profile]:
    found: list[Profile] = who.ask("user.get", users=list(users)).profiles
    return found


def name(who: Asker, user: str) -> str | None:
    """What somebody is called, as ``who`` sees it; None where they see no profile."""
    found = profiles(who, user)
    return found[0].name if found else None


# -- one's own --


def test_a_profile_reaches_ones_own_devices_and_whoever_asks(chat: Chat, alice: Asker, bob: Asker) -> None:
    phone, listener = chat.connect("alice"), chat.connect("bob")
    placed = update(alice, name="Alice", avatar_url=PICTURE, metadata={"k": "v"})
    assert phone.of(LogEvent) == [
        ProfileUpdated(
            conversation=alice.queue,
            seq=1,
            time=placed.time,
            name="Alice",
            avatar_url=PICTURE,
            metadata={"k": "v"},
        )
    ]
    assert listener.got == []
    for who in (alice, bob):
        [profile] = profiles(who, "alice")
        assert (profile.user, profile.name, profile.avatar_url, profile.metadata) == (
            "alice",
            "Alice",
            PICTURE,
            {"k": "v"},
        )


def test_what_is_not_given_is_taken_away(alice: Asker, bob: Asker) -> None:
    update(alice, name="Alice", avatar_url=PICTURE, metadata={"k": "v"})
    [before] = profiles(bob, "alice")
    update(alice, avatar_url=PICTURE)
    [after] = profiles(bob, "alice")
    assert (after.name, after.avatar_url, after.metadata) == (None, PICTURE, {})
    assert after.version > before.version


def test_several_are_asked_for_at_once_and_who_has_none_is_left_out(alice: Asker, bob: Asker) -> None:
    update(alice, name="Alice")
    update(bob, name="Bob")
    found = profiles(alice, "nobody", "bob", "alice", "bob")
    assert [profile.user for profile in found] == ["bob", "alice"]


def test_a_repeat_gets_the_first_reply_and_other_content_a_conflict(chat: Chat, alice: Asker, bob: Asker) -> None:
    first = update(alice, name="Alice", client_id="1")
    update(alice, name="Alicia")
    assert update(alice, name="Alice", client_id="1") == first
    assert name(bob, "alice") == "Alicia"
    with pytest.raises(Conflict):
        update(alice, name="Other", client_id="1")
    assert len(chat.entries(alice.queue)) == 2


def test_metadata_is_held_to_the_same_size_as_a_messages(chat: Chat, alice: Asker) -> None:
    with pytest.raises(TooLarge, match="13 bytes"):
        update(alice, metadata={"k": "x" * 12})
    assert chat.database.logs == {}


# -- what is kept, and what is stored --


def test_a_change_is_seen_at_once_by_whoever_hears_of_it_and_in_time_by_others(chat: Chat, alice: Asker) -> None:
    elsewhere = Chat(chat.database)
    update(alice, name="A")
    assert (name(chat.http("bob"), "alice"), name(elsewhere.http("bob"), "alice")) == ("A", "A")
    update(alice, name="Al")
    # Between these two nothing is told.
    assert (name(chat.http("bob"), "alice"), name(elsewhere.http("bob"), "alice")) == ("Al", "A")
    elsewhere.clock.advance(KEPT_SECONDS)
    assert name(elsewhere.http("bob"), "alice") == "Al"


def test_a_change_whose_reply_was_lost_is_shown(chat: Chat, alice: Asker, bob: Asker) -> None:
    assert name(bob, "alice") is None
    chat.log.change_faults, chat.log.away = [LOST], True
    with pytest.raises(OutcomeUnknown):
        update(alice, name="Alice")
    assert name(bob, "alice") == "Alice"


def test_it_is_sealed_and_shown_to_nobody_once_it_was_altered(chat: Chat, alice: Asker, bob: Asker) -> None:
    update(alice, name="Alice")
    kept = chat.database.people.profiles
    assert b"Alice" not in kept["alice"].sealed
    kept["alice"] = altered(kept["alice"])
    assert profiles(bob, "alice") == []
    assert [entry.author for entry, _ in chat.unreadable] == ["alice"]


def test_it_is_nobodys_who_has_lost_the_key(chat: Chat, alice: Asker) -> None:
    update(alice, name="Alice")
    assert profiles(Chat(chat.database, masters=OTHER_MASTERS).http("bob"), "alice") == []


def test_one_persons_profile_is_not_anothers(chat: Chat, alice: Asker, bob: Asker) -> None:
    update(alice, name="Alice")
    update(bob, name="Bob")
    kept = chat.database.people.profiles
    kept["alice"] = replace(kept["alice"], sealed=kept["bob"].sealed, client_id=kept["bob"].client_id)
    assert [profile.user for profile in profiles(bob, "alice", "bob")] == ["bob"]


# -- blocks --


def test_who_is_blocked_sees_no_profile_of_the_blocker(alice: Asker, bob: Asker) -> None:
    update(alice, name="Alice")
    update(bob, name="Bob")
    assert name(bob, "alice") == "Alice"
    alice.ask("user.block", client_id="b", user="bob")
    assert (name(bob, "alice"), name(alice, "bob"), name(bob, "bob")) == (None, "Bob", "Bob")
    alice.ask("user.unblock", client_id="u", user="bob")
    assert name(bob, "alice") == "Alice"


# -- what tokens say --


def claims(
    given: str | None = "Alice", picture: str | None = None, *, issued_at: float | None = None, user: str = "alice"
) -> Claims:
    return Claims(user=user, issuer="auth", expires_at=1e12, name=given, picture=picture, issued_at=issued_at)


def introductions(chat: Chat, **more: Any) -> Introductions:
    return Introductions(chat.stores.profiles, chat.authors, chat.reader, chat.bus, chat.exchange, **more)


def arrive(introductions: Introductions, *tokens: Claims) -> None:
    """As the edge does when somebody comes with these, one after the other."""
    for token in tokens:
        if introductions.are_news(token):
            at_once(introductions.introduce(token))


def test_a_token_gives_the_first_profile(chat: Chat, alice: Asker, bob: Asker) -> None:
    assert name(bob, "alice") is None
    arrive(introductions(chat), claims("Alice", PICTURE))
    [profile] = profiles(bob, "alice")
    assert (profile.name, profile.avatar_url) == ("Alice", PICTURE)
    assert chat.database.logs == {}


def test_a_token_that_says_something_else_changes_what_tokens_said(chat: Chat, bob: Asker) -> None:
    known = introductions(chat)
    arrive(known, claims("Alice", PICTURE))
    [before] = profiles(bob, "alice")
    arrive(known, claims("Alicia"))
    [after] = profiles(bob, "alice")
    # A claim that is not there takes nothing away.
    assert (after.name, after.avatar_url) == ("Alicia", PICTURE)
    assert after.version > before.version


def test_an_older_token_changes_nothing(chat: Chat, bob: Asker) -> None:
    known = introductions(chat)
    arrive(known, claims("Alicia", issued_at=20.0), claims("Alice", issued_at=10.0))
    assert name(bob, "alice") == "Alicia"
    arrive(known, claims("Ali", issued_at=30.0))
    assert name(bob, "alice") == "Ali"


def test_what_a_person_said_themselves_stands(chat: Chat, alice: Asker, bob: Asker) -> None:
    known = introductions(chat)
    arrive(known, claims("Alice"))
    update(alice, name="Me")
    arrive(known, claims("Alicia"))
    arrive(introductions(chat), claims("Alicia"))
    assert name(bob, "alice") == "Me"


class Overtaken(MemoryProfiles):
    """Right after a look at her profile, alice gives one herself."""

    def __init__(self, chat: Chat) -> None:
        super().__init__(chat.database.people)
        self._chat = chat

    async def profiles(self, users: Sequence[str]) -> list[Entry]:
        found = await super().profiles(users)
        update(self._chat.http("alice"), name="Me")
        return found


def test_what_a_person_says_at_the_same_moment_stands_too(chat: Chat, bob: Asker) -> None:
    arrive(Introductions(Overtaken(chat), chat.authors, chat.reader, chat.bus, chat.exchange), claims("Alice"))
    assert name(bob, "alice") == "Me"


def test_who_comes_again_costs_nothing(chat: Chat) -> None:
    known = introductions(chat, capacity=2)
    for token in (claims("Alice"), claims(user="bob"), claims(None)):
        arrive(known, token)
        assert not known.are_news(token)
    assert known.are_news(claims("Alicia"))
    arrive(known, claims(user="carol"))
    assert [known.are_news(claims(user=user)) for user in ("alice", "bob", "carol")] == [True, False, False]
    before = dict(chat.database.people.profiles)
    arrive(introductions(chat), claims("Alice"))
    assert chat.database.people.profiles == before


def test_what_failed_is_looked_at_again(chat: Chat, bob: Asker) -> None:
    broken = introductions(Chat(chat.database, masters=OTHER_MASTERS))
    arrive(introductions(chat), claims("Alice"))
    with pytest.raises(Unreadable):
        arrive(broken, claims("Alicia"))
    assert broken.are_news(claims("Alicia"))
    assert name(bob, "alice") == "Alice"
