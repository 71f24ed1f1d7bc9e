"""P3 and P6 among workers: a bus that loses, repeats, reorders and delays makes no gap and no repeat, on any worker.

Two devices of one person are connected to two workers, each with the hub and the backfill as they are. Whatever is
committed on either is on its way to both, and may arrive at any time, in any order, twice, as a hint or never. At the
end each worker looks at how far the logs have come, and then whoever believes to be up to date is.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from zope.interface import implementer

from chatd.bus import backfill as backfill_module
from chatd.bus.backfill import Backfill
from chatd.handlers import sync as sync_module
from chatd.interfaces.conversations import IConversationStore
from chatd.interfaces.log import ILogStore
from chatd.records.bus import News, Reach, Tail, news_of
from chatd.records.logs import Cursor, Publication
from chatd.records.rosters import Roster, plain_roster
from chatd.state import delivery as delivery_module
from chatd.state import shared as shared_module
from chatd.state.directory import Directory
from chatd.state.shared import SharedHub
from tests.handlers.test_sync_model import Question, Resumption
from tests.kit.delivery import CONVERSATIONS, USER, World
from tests.kit.unruly import OF_PEERS, moves

HERE, THERE = "phone", "tablet"


@implementer(ILogStore, IConversationStore)
class SlowLog:
    """As much of the stores as a backfill asks, and its pauses: all of it goes on when a move says so."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.questions: deque[Question] = deque()

    def pause(self, seconds: float) -> Deferred[Any]:
        return self._ask(lambda: None)

    def tails(self, cursors: Sequence[Cursor], limit: int) -> Deferred[list[Tail]]:
        return self._ask(lambda: self._tails(cursors, limit))

    def _tails(self, cursors: Sequence[Cursor], limit: int) -> list[Tail]:
        tails = []
        for cursor in cursors:
            entries = tuple(self._world.entries([cursor], limit))
            limit -= len(entries)
            last_seq = self._world.length(cursor.conversation)
            tails.append(Tail(conversation=cursor.conversation, last_seq=last_seq, access=0, entries=entries))
        return tails

    def rosters(self, conversations: Sequence[str]) -> Deferred[list[Roster]]:
        return self._ask(lambda: [plain_roster(conversation, "direct", (USER,)) for conversation in conversations])

    def _ask(self, look: Callable[[], Any]) -> Deferred[Any]:
        self.questions.append(Question(look))
        return self.questions[-1].answer

    def go_on(self) -> None:
        if self.questions and self.questions[0].go_on():
            self.questions.popleft()


class TwoWorkers(World):
    """``on_their_way`` is what each worker's hub will hear, perhaps."""

    def __post_init__(self) -> None:
        self.hubs: dict[str, SharedHub] = {}
        self.on_their_way: dict[str, dict[str, deque[News]]] = {device: {} for device in (HERE, THERE)}
        super().__post_init__()
        self.slow: dict[str, SlowLog] = {}
        self.unforeseen: list[BaseException] = []
        for device, ways in self.on_their_way.items():
            ways.clear()
            slow = self.slow[device] = SlowLog(self)
            directory = Directory(slow)
            hub = self.hubs[device] = SharedHub(self.reader.event, self.reader.opened, directory)
            Backfill(hub, slow, slow, directory, self.reader, pause=slow.pause, failed=self.unforeseen.append)

    def hub_of(self, device: str) -> SharedHub:
        return self.hubs[device]

    def commit_on(self, worker: str, conversation: str) -> None:
        publication = self.commit(conversation)
        for device, ways in self.on_their_way.items():
            way = ways.setdefault(conversation, deque())
            way.append(news_of(publication) if device == worker else sealed(publication))

    def reaches(self) -> list[Reach]:
        return [
            Reach(user=USER, conversation=conversation, last_seq=len(log), since=0)
            for conversation, log in self.logs.items()
        ]


def sealed(publication: Publication) -> News:
    """What crosses the bus."""
    return replace(news_of(publication), content=None)


class Shared(Resumption):
    """Syncs on two workers."""

    world: TwoWorkers

    def make(self, published: dict[str, int]) -> World:
        return TwoWorkers(published)

    # -- the logs and the bus; each move is about one conversation --

    def commit_here(self, conversation: str) -> None:
        self.world.commit_on(HERE, conversation)

    def commit_there(self, conversation: str) -> None:
        self.world.commit_on(THERE, conversation)

    def commit_and_hear(self, conversation: str) -> None:
        self.world.commit_on(HERE, conversation)
        for device in self.devices:
            while self.world.on_their_way[device].get(conversation):
                self._hear(device, conversation, 0)

    def hear_here(self, conversation: str) -> None:
        self._hear(HERE, conversation, 0)

    def hear_there(self, conversation: str) -> None:
        self._hear(THERE, conversation, 0)

    def hear_out_of_turn(self, conversation: str) -> None:
        for device in self.devices:
            self._hear(device, conversation, 1)

    def lose(self, conversation: str) -> None:
        for device in self.devices:
            way = self.world.on_their_way[device].get(conversation)
            if way:
                way.popleft()

    def hear_a_hint(self, conversation: str) -> None:
        for device in self.devices:
            way = self.world.on_their_way[device].get(conversation)
            if way:
                self.world.hubs[device].hear(replace(way.popleft(), entry=None, content=None))

    def hear_again(self, conversation: str) -> None:
        log = self.world.logs.get(conversation, [])
        for old in log[-2:] + log[:1]:
            for hub in self.world.hubs.values():
                hub.hear(sealed(old))

    def _hear(self, device: str, conversation: str, place: int) -> None:
        way = self.world.on_their_way[device].get(conversation, ())
        if place < len(way):
            news = way[place]
            del way[place]
            self.world.hubs[device].hear(news)

    # -- the workers --

    def read_on(self, device: str) -> None:
        self.world.slow[device].go_on()

    def read_up(self, device: str) -> None:
        while self.world.slow[device].questions:
            self.world.slow[device].go_on()

    def look(self, device: str) -> None:
        self.world.hubs[device].reached(self.world.reaches())

    def tell_all(self, conversation: str) -> None:
        """The end of a run: half of what is on its way is lost, and each worker finds that out."""
        for device in self.devices:
            self.lose(conversation)
            while self.world.on_their_way[device].get(conversation):
                self._hear(device, conversation, 0)
            self.look(device)
            self.read_up(device)
            self.finish(device)
            self.look(device)
            self.read_up(device)
        self.world.heard = {name: self.world.length(name) for name in CONVERSATIONS}
        assert self.world.unforeseen == []

    @rule(
        happening=moves(
            {
                commit_here: 4,
                commit_there: 4,
                commit_and_hear: 6,
                hear_here: 4,
                hear_there: 4,
                hear_out_of_turn: 2,
                lose: 1,
                hear_a_hint: 1,
                hear_again: 1,
                Resumption.sync_one: 1,
            },
            {
                **OF_PEERS,
                Resumption.sync_all: 3,
                Resumption.sync_from_acknowledged: 2,
                Resumption.sync_stale: 4,
                Resumption.step: 15,
                Resumption.finish: 2,
                Resumption.fail: 1,
                Resumption.break_down: 1,
                Resumption.acknowledge: 1,
                read_on: 12,
                read_up: 2,
                look: 1,
            },
            Resumption.devices,
        )
    )
    def happen(self, happening: list[tuple[str, str]]) -> None:
        for move, about in happening:
            getattr(self, move)(about)


def test_a_bus_that_cannot_be_trusted_makes_no_gap_and_no_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "HELD_EVENTS", 3)
    monkeypatch.setattr(sync_module, "READ_EVENTS", 4)
    monkeypatch.setattr(sync_module, "WRITE_EVENTS", 2)
    monkeypatch.setattr(sync_module, "READ_LOGS", 2)
    monkeypatch.setattr(shared_module, "EARLY_NEWS", 2)
    monkeypatch.setattr(shared_module, "LONGEST_GAP", 6)
    monkeypatch.setattr(backfill_module, "READ_LOGS", 2)
    monkeypatch.setattr(backfill_module, "READ_ENTRIES", 3)
    run_state_machine_as_test(Shared, settings=settings(max_examples=100, stateful_step_count=4, deadline=None))
