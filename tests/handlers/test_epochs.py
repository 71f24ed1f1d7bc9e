"""A backup was restored and the same seqs given again: who shows of which epoch their cursors are misses nothing."""

from typing import Any

import pytest
from msgspec import ValidationError

from chatd.errors import Invalid
from chatd.handlers.messages import MessageCreated
from chatd.state.ids import direct
from tests.kit.world import Asker, Chat, Connection

OURS = direct("alice", "bob")
BEFORE = "an-epoch"
AFTER = "another-epoch"


class Restored:
    """What the backup had is ``a`` and ``b``; ``c`` and ``d`` are lost, in whose places ``e``, ``f`` and ``g`` stand.

    Bob had acknowledged ``a`` when the backup was made. Afterwards he got everything.
    """

    def __init__(self) -> None:
        lost, self.chat = as_backed_up(), as_backed_up()
        say(lost, "cd")
        bob = lost.http("bob")
        got = bob.ask("sync", epoch=BEFORE)
        assert (text_of(got.events), got.epoch) == (list("bcd"), BEFORE)
        self.cursors = {OURS: 4, bob.queue: 1}
        self.chat.epoch = AFTER
        say(self.chat, "efg")


def as_backed_up() -> Chat:
    """What the backup holds."""
    chat = Chat()
    say(chat, "ab")
    bob = chat.http("bob")
    bob.ask("ack", conversation=OURS, seq=1)
    bob.ask("ack", conversation=bob.queue, seq=1)
    return chat


def say(chat: Chat, texts: str) -> None:
    """Alice, to bob."""
    for text in texts:
        chat.http("alice").send(text, to="bob")


def text_of(events: list[Any]) -> list[str]:
    return [event.text for event in events if isinstance(event, MessageCreated)]


@pytest.fixture
def restored() -> Restored:
    return Restored()


@pytest.fixture(params=["a connection", "HTTP"])
def bob(request: pytest.FixtureRequest, restored: Restored) -> Asker:
    """On each transport."""
    return restored.chat.http("bob") if request.param == "HTTP" else restored.chat.connect("bob", synced=False)


def came(bob: Asker, synced: Any) -> list[str]:
    """What was said, by way of either transport."""
    return text_of(bob.got if isinstance(bob, Connection) else synced.events)


def test_cursors_of_another_epoch_are_reset_and_what_was_acknowledged_counts(restored: Restored, bob: Asker) -> None:
    synced = bob.ask("sync", cursors=restored.cursors, epoch=BEFORE)
    assert came(bob, synced) == list("befg")
    assert sorted(synced.reset) == sorted(restored.cursors)
    assert synced.epoch == AFTER


def test_without_its_epoch_a_cursor_is_taken_for_what_it_was(restored: Restored, bob: Asker) -> None:
    """What the epoch is for: nobody could know that ``e`` and ``f`` are not what was seen at these places."""
    synced = bob.ask("sync", cursors=restored.cursors)
    assert (came(bob, synced), synced.reset, synced.epoch) == (["g"], [], AFTER)


def test_cursors_of_the_epoch_count(restored: Restored, bob: Asker) -> None:
    synced = bob.ask("sync", cursors={OURS: 3, bob.queue: 1}, epoch=AFTER)
    assert (came(bob, synced), synced.reset, synced.epoch) == (["f", "g"], [], AFTER)


def test_of_those_that_are_named_none_is_used_and_no_other_is_looked_at(restored: Restored, bob: Asker) -> None:
    if isinstance(bob, Connection):
        bob.ask("sync", cursors={OURS: 5, bob.queue: 1}, epoch=AFTER)
        bob.got.clear()
    synced = bob.ask("sync", scope="named", cursors={OURS: 4}, epoch=BEFORE)
    assert (came(bob, synced), synced.reset) == (list("befg"), [OURS])


def test_nothing_shown_is_nothing_reset(bob: Asker) -> None:
    synced = bob.ask("sync", epoch=BEFORE)
    assert (came(bob, synced), synced.reset) == (list("befg"), [])


def test_an_event_queue_that_has_not_begun_is_reset_too(restored: Restored) -> None:
    carol = restored.chat.http("carol")
    assert carol.ask("sync", cursors={carol.queue: 0}, epoch=AFTER).reset == []
    assert carol.ask("sync", cursors={carol.queue: 0}, epoch=BEFORE).reset == [carol.queue]


def test_then_events_come_live_and_once(restored: Restored) -> None:
    bob = restored.chat.connect("bob", synced=False)
    bob.ask("sync", cursors=restored.cursors, epoch=BEFORE)
    say(restored.chat, "h")
    assert text_of(bob.got) == list("befgh")


@pytest.mark.parametrize("epoch", ["", "a b", "x" * 65])
def test_what_is_no_epoch_is_refused(restored: Restored, epoch: str) -> None:
    with pytest.raises(ValidationError, match="epoch"):
        restored.chat.http("bob").ask("sync", epoch=epoch)


def test_an_acknowledgement_beyond_the_end_of_a_log_that_went_back_moves_nothing(restored: Restored) -> None:
    """So a client that has not noticed yet cannot hide from itself what will be written there."""
    bob = restored.chat.http("bob")
    with pytest.raises(Invalid, match="beyond the end"):
        bob.ask("ack", conversation=OURS, seq=6)
    assert text_of(bob.ask("sync").events) == list("befg")
