"""P3 and P6: whatever happens in whatever order, each peer sees each conversation in order, without a gap or a repeat.

The steps of a sync are taken here one by one, in between of which anything may happen; the loop that takes them in
earnest is held to the same promise in ``tests/handlers/test_sync_model.py``.
"""

from collections import deque
from collections.abc import Iterator
from itertools import groupby, islice

import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test

from chatd.records.logs import Cursor
from chatd.state import delivery as delivery_module
from chatd.state.delivery import Phase, Start
from tests.kit.at_once import at_once
from tests.kit.delivery import Ended, Peer, World
from tests.kit.unruly import AROUND, OF_PEERS, Unruly, moves

HELD = 3
READ = 4
RUN = 2


def sync(world: World, peer: Peer, cursors: dict[str, int], everything: bool) -> Iterator[None]:
    """One sync of ``peer``; each step ends where the server would wait."""
    delivery = peer.delivery
    if everything:
        delivery.gather()
    else:
        delivery.fall_behind(cursors)
    peer.began(cursors, everything)
    yield
    positions = world.positions(peer.acknowledged, frozenset())
    yield
    starts = [
        Start(
            conversation=position.conversation,
            seq=cursors.get(position.conversation, position.acknowledged or 0),
            last_seq=position.last_seq,
            recent=position.recent,
        )
        for position in positions
        if everything or position.conversation in cursors
    ]
    waiting = deque(delivery.settle(starts))
    while waiting and delivery.phase is Phase.LIVE:
        waiting.extend((yield from read_on(world, peer, [waiting.popleft() for _ in range(min(2, len(waiting)))])))
    peer.say(Ended(True, everything))


def read_on(world: World, peer: Peer, cursors: list[Cursor]) -> Iterator[None]:
    """Read the logs behind ``cursors`` a little further; gives those that have to be read on."""
    delivery = peer.delivery
    entries = world.entries(cursors, READ)
    yield
    reached = {cursor.conversation: cursor for cursor in cursors}
    for name, log in groupby(at_once(world.reader.events(entries)), lambda event: event.conversation):
        while run := list(islice(log, RUN)):
            while peer.outbox.paused and run[0].seq % 2:
                yield
            if delivery.read(*run):
                reached[name] = Cursor(conversation=name, seq=run[-1].seq)
                yield
    full = len(entries) == READ
    unread = [c.conversation for c in cursors]
    unread = unread[unread.index(entries[-1].conversation) :] if full else []
    behind = [cursor for name, cursor in reached.items() if delivery.is_behind(name)]
    return [cursor for cursor in behind if cursor.conversation in unread or not delivery.level(cursor)]


class StepByStep(Unruly):
    """Syncs whose steps are moves."""

    devices = ("phone",)

    def __init__(self) -> None:
        super().__init__()
        self.under_way: dict[str, tuple[Iterator[None], bool]] = {}

    def sync_all(self, device: str) -> None:
        self._start(self.peers[device], dict(self.peers[device].has), True)

    def sync_from_acknowledged(self, device: str) -> None:
        self._start(self.peers[device], {}, True)

    def sync_stale(self, device: str) -> None:
        """What a client does when it is told that a conversation is stale."""
        peer = self.peers[device]
        stale = [name for name, expected in peer.expected.items() if expected is None]
        self._start(peer, {name: peer.has.get(name, 0) for name in stale}, False)

    def sync_one(self, conversation: str) -> None:
        for peer in self.peers.values():
            self._start(peer, {conversation: peer.has.get(conversation, 0)}, False)

    def _start(self, peer: Peer, cursors: dict[str, int], everything: bool) -> None:
        if peer.device in self.under_way or peer.overflowed:
            return
        if everything or peer.delivery.phase is Phase.LIVE:
            self.under_way[peer.device] = sync(self.world, peer, cursors, everything), everything
            self.step(peer.device)

    def step(self, device: str) -> None:
        if device in self.under_way:
            try:
                next(self.under_way[device][0])
            except StopIteration:
                del self.under_way[device]

    def fail(self, device: str) -> None:
        if device in self.under_way:
            _, everything = self.under_way.pop(device)
            self.peers[device].delivery.interrupted()
            self.peers[device].say(Ended(False, everything))

    def acknowledge(self, device: str) -> None:
        if device not in self.under_way:
            self.peers[device].acknowledge()

    def abandon(self, device: str) -> None:
        self.under_way.pop(device, None)

    def finish(self, device: str) -> None:
        while device in self.under_way:
            self.peers[device].read()
            self.step(device)

    def sync_to_the_end(self, peer: Peer) -> None:
        self._start(peer, dict(peer.has), True)
        self.finish(peer.device)
        peer.read()

    @rule(
        happening=moves(
            {**AROUND, sync_one: 1},
            {
                **OF_PEERS,
                sync_all: 3,
                sync_from_acknowledged: 2,
                sync_stale: 4,
                step: 12,
                finish: 2,
                fail: 1,
                acknowledge: 1,
            },
            devices,
        )
    )
    def happen(self, happening: list[tuple[str, str]]) -> None:
        for move, about in happening:
            getattr(self, move)(about)


def test_no_interleaving_of_commits_reads_and_syncs_makes_a_gap_or_a_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "HELD_EVENTS", HELD)
    run_state_machine_as_test(StepByStep, settings=settings(max_examples=100, stateful_step_count=4, deadline=None))
