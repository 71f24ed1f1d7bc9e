"""P3 and P6 of the whole command: ``sync``, with commits that land between its reads of the log.

Each question to the store waits until a move looks for its answer, and again until a move gives it, so that anything
may happen before, between and after. Syncs may be pipelined, and two devices sync at the same time.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.errors import Internal, Invalid, Unavailable
from chatd.handlers import sync as sync_module
from chatd.handlers.sync import Resuming, Sync, Synced
from chatd.interfaces.conversations import IConversationStore
from chatd.interfaces.log import ILogStore
from chatd.records.logs import Cursor, Entry, Position
from chatd.router import Router
from chatd.state import delivery as delivery_module
from tests.kit.delivery import CONVERSATIONS, Ended, Peer, World
from tests.kit.unruly import AROUND, OF_PEERS, Unruly, moves


class Asking:
    """The caller behind one sync of a peer's; its ``device`` tells the store which of them asks."""

    def __init__(self, number: int, peer: Peer, sync: Sync) -> None:
        self.user = peer.user
        self.device = str(number)
        self.delivery = peer.delivery
        self.lanes = peer.lanes
        self.sync = sync
        self.peer = peer
        self._outbox = peer.outbox

    def drained(self) -> Deferred[None]:
        if not self._outbox.paused:
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._outbox.when_drained(lambda: drained.callback(None))
        return drained

    @property
    def connected(self) -> bool:
        """Whether the connection that asked is still the peer's."""
        return self.peer.outbox is self._outbox

    def begun(self) -> None:
        if self.connected:
            self.peer.began(self.sync.cursors, self.sync.scope == "all")

    def succeeded(self, synced: Synced) -> None:
        assert (synced.events, synced.more) == ([], False)
        assert all(self.sync.cursors[name] == 0 for name in synced.reset), "an honest cursor is not reset"
        self._answered(True)

    def failed(self, failure: Failure) -> None:
        if not isinstance(failure.value, Invalid):
            assert isinstance(failure.value, Unavailable | Internal)
            self._answered(False)

    def _answered(self, succeeded: bool) -> None:
        if self.connected:
            self.peer.say(Ended(succeeded, self.sync.scope == "all"))


class Question:
    """Something asked of the store: looked up at one time, answered at another."""

    def __init__(self, look: Callable[[], Any]) -> None:
        self.answer: Deferred[Any] = Deferred()
        self._look = look
        self._found: list[Any] = []

    def go_on(self) -> bool:
        """Look, or else answer. Whether it was answered."""
        if not self._found:
            self._found.append(self._look())
            return False
        self.answer.callback(self._found[0])
        return True


@implementer(ILogStore, IConversationStore)
class SlowStore:
    """As much of both stores as the syncs of one peer ask."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asking: dict[str, Asking] = {}
        self.questions: list[Question] = []

    def positions(self, user: str, device: str) -> Deferred[list[Position]]:
        asking = self.asking[device]
        asking.begun()
        return self._ask(lambda: self._world.positions(asking.peer.acknowledged, frozenset(CONVERSATIONS)))

    def entries(self, reader: str, cursors: Sequence[Cursor], limit: int) -> Deferred[list[Entry]]:
        return self._ask(lambda: self._world.entries(cursors, limit))

    def _ask(self, look: Callable[[], Any]) -> Deferred[Any]:
        self.questions.append(Question(look))
        return self.questions[-1].answer


def _unheard(command: str, error: BaseException, caller: Any) -> None:
    """What would be logged."""


class Resumption(Unruly):
    """Syncs as they are carried out, their reads of the log held up by moves."""

    devices = ("phone", "tablet")

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[Failure] = []

    def prepare(self) -> None:
        self.stores = {device: SlowStore(self.world) for device in self.devices}
        self.routers = {
            device: Router(
                [Resuming(store, store, self.world.reader, self.world.hub_of(device), lambda: "an-epoch")], _unheard
            )
            for device, store in self.stores.items()
        }

    def _sync(self, peer: Peer, cursors: Mapping[str, int], everything: bool) -> None:
        if not peer.overflowed:
            asking = self.stores[peer.device].asking
            ask = Sync(id=0, cursors=dict(cursors), scope="all" if everything else "named")
            asking[str(len(asking))] = caller = Asking(len(asking), peer, ask)
            answer = self.routers[peer.device].dispatch(caller, ask)
            answer.addCallbacks(caller.succeeded, caller.failed).addErrback(self.broken.append)

    def sync_all(self, device: str) -> None:
        self._sync(self.peers[device], self.peers[device].has, True)

    def sync_from_acknowledged(self, device: str) -> None:
        self._sync(self.peers[device], {}, True)

    def sync_stale(self, device: str) -> None:
        """What a client does when it is told that a conversation is stale."""
        peer = self.peers[device]
        stale = [name for name, expected in peer.expected.items() if expected is None]
        self._sync(peer, {name: peer.has.get(name, 0) for name in stale}, False)

    def sync_one(self, conversation: str) -> None:
        for peer in self.peers.values():
            self._sync(peer, {conversation: peer.has.get(conversation, 0)}, False)

    def step(self, device: str) -> None:
        questions = self.stores[device].questions
        if questions and questions[0].go_on():
            del questions[0]

    def fail(self, device: str) -> None:
        self._fail(device, Unavailable())

    def break_down(self, device: str) -> None:
        self._fail(device, ZeroDivisionError("a defect"))

    def _fail(self, device: str, error: Exception) -> None:
        questions = self.stores[device].questions
        if questions:
            questions.pop(0).answer.errback(error)

    def acknowledge(self, device: str) -> None:
        if not self.stores[device].questions:
            self.peers[device].acknowledge()

    def abandon(self, device: str) -> None:
        """What the connection asked is answered all the same, some time."""

    def finish(self, device: str) -> None:
        peer = self.peers[device]
        while self.stores[device].questions or peer.transport:
            peer.read()
            self.step(device)

    def sync_to_the_end(self, peer: Peer) -> None:
        self._sync(peer, peer.has, True)
        self.finish(peer.device)

    @rule(
        happening=moves(
            {**AROUND, sync_one: 1},
            {
                **OF_PEERS,
                sync_all: 3,
                sync_from_acknowledged: 2,
                sync_stale: 4,
                step: 15,
                finish: 2,
                fail: 1,
                break_down: 1,
                acknowledge: 1,
            },
            devices,
        )
    )
    def happen(self, happening: list[tuple[str, str]]) -> None:
        for move, about in happening:
            getattr(self, move)(about)

    @invariant()
    def nothing_broke(self) -> None:
        for failure in self.broken:
            failure.raiseException()


def test_whenever_its_reads_are_answered_a_sync_leaves_no_gap_and_no_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "HELD_EVENTS", 3)
    monkeypatch.setattr(sync_module, "READ_EVENTS", 4)
    monkeypatch.setattr(sync_module, "WRITE_EVENTS", 2)
    monkeypatch.setattr(sync_module, "READ_LOGS", 2)
    run_state_machine_as_test(Resumption, settings=settings(max_examples=100, stateful_step_count=4, deadline=None))
