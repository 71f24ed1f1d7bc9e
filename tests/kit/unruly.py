"""Everything that happens around a sync, as the moves of a state machine.

Commits reach the hub late, twice, out of turn or never; peers read, stall, vanish and come back. A machine of its
own adds how a sync is carried out.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from chatd.records.logs import Publication
from tests.kit.delivery import CONVERSATIONS, Peer, World

OLD, SHORT, NEW = CONVERSATIONS

Move = Callable[["Unruly", str], None]


class Unruly(RuleBasedStateMachine):
    """A world with one user and the devices of hers.

    What happens is drawn as lists of moves and not as a rule for each, since it takes many of them in a row to come
    into a tight spot.
    """

    devices: ClassVar[Iterable[str]]
    world: World
    peers: dict[str, Peer]

    @initialize(
        old=st.integers(1, 9),
        short=st.integers(0, 2),
        window=st.sampled_from((2, 5, 50)),
        room=st.sampled_from((0, 2, 5, 50)),
        packets=st.sampled_from((6, 60, 60)),
        synced=st.sampled_from((True, True, False)),
    )
    def begin(self, old: int, short: int, window: int, room: int, packets: int, synced: bool) -> None:
        self.world = self.make({name: length for name, length in ((OLD, old), (SHORT, short)) if length})
        self.peers = {
            device: Peer(self.world, device, window=window, event_packets=room, packets=packets)
            for device in self.devices
        }
        self.prepare()
        for peer in self.peers.values():
            if synced:
                self.sync_to_the_end(peer)

    def make(self, published: dict[str, int]) -> World:
        """The world, in which these logs have stood for long."""
        return World(published)

    def nothing(self, whatever: str) -> None:
        """What a move shrinks to."""

    # -- the log and the bus; each move is about one conversation --

    def commit(self, conversation: str) -> None:
        self.world.commit(conversation)

    def commit_and_tell(self, conversation: str) -> None:
        self.world.commit(conversation)
        self.tell_all(conversation)

    def commit_unheard(self, conversation: str) -> None:
        self.world.commit_unheard(conversation)

    def commit_after_a_lost_reply(self, conversation: str) -> None:
        self.world.commit_unheard(conversation)
        self.commit_and_tell(conversation)

    def tell(self, conversation: str) -> None:
        self._tell(conversation, 0)

    def tell_all(self, conversation: str) -> None:
        while self.world.pending.get(conversation):
            self._tell(conversation, 0)

    def tell_out_of_turn(self, conversation: str) -> None:
        """The first that is heard of a log is heard in its turn; after that any may overtake another."""
        self._tell(conversation, 1 if conversation in self.world.seen else 0)

    def _tell(self, conversation: str, place: int) -> None:
        pending = self.world.pending.get(conversation, ())
        if place < len(pending):
            publication = pending[place]
            del pending[place]
            self.world.publish([publication])

    def lose(self, conversation: str) -> None:
        if conversation in self.world.seen and self.world.pending[conversation]:
            self.world.pending[conversation].popleft()

    def tell_again(self, conversation: str) -> None:
        """A bus repeats. Before anything was heard of a log, only the log writer does, and says so."""
        log = self.world.logs.get(conversation, [])
        told = [one for one in log if one not in self.world.pending[conversation]]
        for old in told[-1:] + told[:1]:
            doubtful = conversation not in self.world.seen or old.entry.seq % 2 == 0
            self.world.publish(
                [Publication(entry=old.entry, audience=old.audience, content=old.content, doubtful=doubtful)]
            )

    # -- the peers; each move is about one device --

    def read_one(self, device: str) -> None:
        self.peers[device].read(1)

    def read(self, device: str) -> None:
        self.peers[device].read()

    def come_back(self, device: str) -> None:
        self.abandon(device)
        self.peers[device].disconnect()
        self.peers[device].connect()

    def come_back_if_closed(self, device: str) -> None:
        if self.peers[device].overflowed:
            self.come_back(device)

    # -- how a sync is carried out --

    def prepare(self) -> None:
        """The world has been made."""

    def abandon(self, device: str) -> None:
        """The connection is about to go."""
        raise NotImplementedError

    def finish(self, device: str) -> None:
        """Let what is under way come to its end; the peer reads as it needs to."""
        raise NotImplementedError

    def sync_to_the_end(self, peer: Peer) -> None:
        """A sync of everything from the cursors of ``peer``, to its end."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Whoever believes to be up to date is, and after a last sync everybody has everything."""
        if not hasattr(self, "peers"):
            return
        for device in self.devices:
            self.finish(device)
        for conversation in CONVERSATIONS:
            self.tell_all(conversation)
        for device, peer in self.peers.items():
            self.finish(device)
            peer.read()
            assert peer.missing() == {}
        for device, peer in self.peers.items():
            self.come_back_if_closed(device)
            self.sync_to_the_end(peer)
            assert {name: peer.has.get(name, 0) for name in CONVERSATIONS} == {
                name: self.world.length(name) for name in CONVERSATIONS
            }


AROUND: Mapping[Move, int] = {
    Unruly.commit: 4,
    Unruly.commit_and_tell: 6,
    Unruly.commit_unheard: 1,
    Unruly.commit_after_a_lost_reply: 1,
    Unruly.tell: 3,
    Unruly.tell_all: 2,
    Unruly.tell_out_of_turn: 1,
    Unruly.lose: 1,
    Unruly.tell_again: 1,
}
"""Moves about a conversation, and how often each is taken."""

OF_PEERS: Mapping[Move, int] = {
    Unruly.read_one: 1,
    Unruly.read: 4,
    Unruly.come_back: 1,
    Unruly.come_back_if_closed: 2,
}
"""Moves about a device."""


def moves(around: Mapping[Move, int], of_peers: Mapping[Move, int], devices: Iterable[str]) -> st.SearchStrategy:
    """Lists of moves, each with what it is about."""
    weighted = [(around, CONVERSATIONS), (of_peers, tuple(devices))]
    choices = [
        (move.__name__, about)
        for table, abouts in weighted
        for move, weight in table.items()
        for about in abouts
        for _ in range(weight * (6 // len(abouts)))
    ]
    return st.lists(st.sampled_from([("nothing", ""), *choices]), min_size=40, max_size=80)
