"""Ids that two workers must derive alike, for ever: whoever changes one loses all conversations."""

from uuid import RFC_4122, UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.state.ids import direct, event_queue, message_id
from chatd.wire.types import ConversationId

USERS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=255)


@pytest.mark.parametrize(
    ("one", "other", "conversation"),
    [
        ("alice", "bob", "2a6b3182-bf8c-835f-842d-9b7187af6fbc"),
        ("alice", "alice", "429fbdef-2eee-8270-952a-f1b6134b3c58"),
        ("名前", "😀", "01082f81-246d-8003-9d74-bbc8bcd48a52"),
    ],
)
def test_the_conversation_of_two_people_never_changes(one: str, other: str, conversation: str) -> None:
    assert direct(one, other) == direct(other, one) == conversation


@pytest.mark.parametrize(
    ("user", "queue"),
    [
        ("alice", "5126f438-4452-809b-9502-7db8df0dd8fc"),
        ("😀", "e0c61dab-e656-8b8c-81d8-833f8ae6b8f5"),
    ],
)
def test_the_event_queue_of_a_person_never_changes(user: str, queue: str) -> None:
    assert event_queue(user) == queue


@settings(deadline=None)
@given(one=USERS, other=USERS)
def test_an_id_is_the_same_whoever_asks_and_a_uuid_of_version_8(one: str, other: str) -> None:
    assert direct(one, other) == direct(other, one)
    for id in (direct(one, other), event_queue(one)):
        assert msgspec.convert(id, ConversationId) == id
        assert str(UUID(id)) == id
        assert (UUID(id).version, UUID(id).variant) == (8, RFC_4122)


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(USERS, USERS), min_size=2, max_size=2))
def test_other_pairs_have_other_conversations(pairs: list[tuple[str, str]]) -> None:
    first, second = pairs
    assert (direct(*first) == direct(*second)) == (sorted(first) == sorted(second))


@settings(deadline=None)
@given(whole=st.text("ab\0:", min_size=2, max_size=8), cut=st.integers(0, 8), other_cut=st.integers(0, 8))
def test_where_one_name_ends_and_the_other_begins_makes_a_difference(whole: str, cut: int, other_cut: int) -> None:
    first, second = (whole[:cut], whole[cut:]), (whole[:other_cut], whole[other_cut:])
    assert (direct(*first) == direct(*second)) == (sorted(first) == sorted(second))


@settings(deadline=None)
@given(one=USERS, other=USERS)
def test_no_conversation_is_anybodys_event_queue(one: str, other: str) -> None:
    assert direct(one, other) not in (event_queue(one), event_queue(other), event_queue(one + other))
    assert (event_queue(one) == event_queue(other)) == (one == other)


def test_a_message_is_named_by_its_place() -> None:
    assert message_id("2a6b3182-bf8c-835f-842d-9b7187af6fbc", 12) == "2a6b3182-bf8c-835f-842d-9b7187af6fbc.12"
