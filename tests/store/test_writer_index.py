"""The log writer with an index: what it gives to drafts is stored, and where it cannot, nothing is."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from chatd.bus.local import LocalBus
from chatd.errors import Internal, Unavailable
from chatd.records.logs import Draft, Revision
from chatd.state.directory import Directory
from chatd.store.memory.conversations import MemoryConversations
from chatd.store.writer import LogWriter
from tests.kit.at_once import Watch
from tests.kit.stores import draft, new_id
from tests.kit.writing import FaultyLog


class Indexed:
    """A log writer whose index numbers the drafts, once ``gate`` is open, unless there is a ``fault``."""

    def __init__(self) -> None:
        self.conversation = new_id()
        self.log = FaultyLog(lambda: datetime.now(UTC), self.conversation)
        self.gate: Deferred[None] | None = None
        self.fault: Exception | None = None
        self.failed: list[BaseException] = []
        self.given = 0
        bus = LocalBus()
        bus.subscribe(lambda publications: None, lambda *_: None, lambda *_: None)
        directory = Directory(MemoryConversations(self.log._database))
        self.writer = LogWriter(self.log, bus, directory, max_waiting=100, failed=self.failed.append, index=self.index)

    async def index(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        if self.gate is not None:
            await self.gate
        if self.fault is not None:
            raise self.fault
        indexed = []
        for one in drafts:
            self.given += 1
            indexed.append(replace(one, tokens=(self.given,)))
        return indexed

    def append(self, text: str, **more: object) -> Watch:
        return Watch(self.writer.append(draft(self.conversation, text, **more)))

    @property
    def tokens(self) -> dict[int, frozenset[int]]:
        return self.log._database.logs[self.conversation].tokens


def test_messages_and_edits_are_stored_with_their_tokens() -> None:
    indexed = Indexed()
    assert indexed.append("a").result.seq == 1
    assert indexed.append("b").result.seq == 2
    revision = Revision(target=1, revise=lambda state, seq: replace(state, edited=seq))
    assert indexed.append("A", kind="message.edited", revision=revision).result.seq == 3
    assert indexed.tokens == {1: {3}, 2: {2}}


def test_what_waits_for_the_index_keeps_its_order() -> None:
    indexed = Indexed()
    indexed.gate = gate = Deferred()
    asked = [indexed.append(text) for text in "abc"]
    assert not any(one.ended for one in asked)
    indexed.gate = None
    gate.callback(None)
    assert [one.result.seq for one in asked] == [1, 2, 3]
    assert [entry.sealed for entry in indexed.log._database.logs[indexed.conversation].entries] == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("fault", "answer", "noted"), [(Unavailable(), Unavailable, 0), (ValueError("a defect"), Internal, 1)]
)
def test_what_cannot_be_indexed_is_not_stored(fault: Exception, answer: type[Exception], noted: int) -> None:
    indexed = Indexed()
    indexed.fault = fault
    with pytest.raises(answer):
        _ = indexed.append("a").result
    assert indexed.tokens == {}
    assert len(indexed.failed) == noted
    indexed.fault = None
    assert indexed.append("a").result.seq == 1
