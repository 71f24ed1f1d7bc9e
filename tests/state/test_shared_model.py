"""P3, P6 and P9 on one worker of several, with people who come and go: whatever the bus does, each connection is sent
what its user may see, in its order, without a gap or a repeat, or is told that the conversation is stale; and never
what its user may not see.

There are two groups, of which this worker is told everything or nothing, late, twice and out of turn, in each form that
news have. Rosters at hand are as old as it happens. In the end the worker looks at how far the logs have come, and then
whoever believes to be up to date is.
"""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from chatd.records.bus import News, Reach, Tail
from chatd.records.logs import Cursor, Entry
from chatd.records.rosters import Membership, Roster
from chatd.state import delivery as delivery_module
from chatd.state import shared as shared_module
from chatd.state.delivery import Delivery, Phase, Start
from chatd.state.directory import Directory
from chatd.state.outbox import Outbox
from chatd.state.shared import SharedHub
from chatd.wire.events import ConversationStale, Event, LogEvent
from tests.kit.delivery import Packet, Packets
from tests.state.test_hub import HELLO, happened

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GROUPS = ("g", "h")
PEOPLE = ("alice", "bob", "carol")
DEVICES = {"alice's phone": "alice", "alice's tablet": "alice", "bob's": "bob", "carol's": "carol"}
READ = 3


class Group:
    """A log of comings, goings and words, and who may see what of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: list[Entry] = []
        self.news: list[News] = []
        self.rosters = [Roster(conversation=name, kind="group", members={"owner": Membership()})]
        self.people: dict[str, Membership] = {}
        self.seen: dict[str, list[tuple[int, int | None]]] = {}

    @property
    def roster(self) -> Roster:
        return self.rosters[-1]

    def append(self, *, comes: str | None = None, goes: str | None = None) -> None:
        seq, before = len(self.entries) + 1, self.roster
        if comes:
            self._change(comes, Membership(since=seq - 1))
        if goes:
            was = self.people[goes]
            self._change(goes, Membership(standing="left", since=was.since, until=seq))
        entry = Entry(
            conversation=self.name, seq=seq, time=NOON, author="bob", client_id=str(seq), kind="happened", sealed=b""
        )
        self.entries.append(entry)
        self.news.append(
            News(
                conversation=self.name,
                seq=seq,
                entry=entry,
                content=HELLO,
                audience={**before.members, **self.roster.members} if goes else self.roster.members,
                access=self.roster.access,
                came=(comes,) if comes else (),
                gone=(goes,) if goes else (),
            )
        )

    def _change(self, user: str, membership: Membership) -> None:
        self.people[user] = membership
        members = {name: one for name, one in self.roster.members.items() if name != user}
        if membership.standing == "member":
            members[user] = membership
            self.seen.setdefault(user, []).append((membership.since, None))
        else:
            self.seen[user][-1] = self.seen[user][-1][0], membership.until
        self.rosters.append(msgspec.structs.replace(self.roster, members=members, access=self.roster.access + 1))

    def may_see(self, user: str, seq: int) -> bool:
        return any(low < seq and (high is None or seq <= high) for low, high in self.seen.get(user, ()))

    def visible_end(self, user: str) -> int:
        until = self.people[user].until
        return len(self.entries) if until is None else until


class Device:
    """A connection, and what it makes of what it is sent."""

    def __init__(self, user: str, groups: dict[str, Group]) -> None:
        self.user = user
        self.groups = groups
        self.has: dict[str, int] = {}
        self.due: dict[str, int | None] = {}
        self.outbox: Outbox[Packet] = Outbox(self._take, lambda: None, event_bytes=1 << 20, total_bytes=1 << 20)
        self.delivery: Delivery[Packet] = Delivery(self.outbox, Packets())
        self.sync: Iterator[None] | None = None

    def began(self, cursors: dict[str, int]) -> None:
        self.due |= {name: cursor + 1 for name, cursor in cursors.items()}

    def _take(self, packet: Packet) -> None:
        for message in packet.messages:
            self._check(message)

    def _check(self, message: Event) -> None:
        if isinstance(message, ConversationStale):
            self.due[message.conversation] = None
            return
        assert isinstance(message, LogEvent)
        name, seq = message.conversation, message.seq
        group = self.groups[name]
        assert group.may_see(self.user, seq), f"{self.user} must not see {seq} of {name}"
        comes = any(low + 1 == seq for low, _ in group.seen[self.user])
        if name in self.due:
            assert self.due[name] is not None, f"{name} was to be silent"
            assert comes or seq == self.due[name], f"{self.due[name]} of {name} was due, and {seq} came"
            assert seq >= self.due[name], f"{seq} of {name} came again"
        else:
            assert comes, f"{name} began with {seq}"
        self.has[name] = seq
        self.due[name] = seq + 1


ABOUT_GROUPS = {"say": 1, "say_and_hear": 2, "hear": 2, "hear_all": 1, "hear_out_of_turn": 1, "lose": 1}
ABOUT_GROUPS |= {"hear_again": 1, "learn": 2}
ABOUT_DEVICES = {"connect": 1, "leave": 1, "sync_all": 2, "sync_stale": 1, "step": 3, "finish": 2, "fail": 1}
ABOUT_NOTHING = {"read_on": 8, "read_up": 4, "look": 3}
TABLES = (
    (ABOUT_GROUPS, GROUPS, 4),
    (ABOUT_DEVICES, tuple(DEVICES), 2),
    ({"come_or_go": 1}, [f"{group} {user}" for group in GROUPS for user in PEOPLE], 2),
    (ABOUT_NOTHING, ("",), 1),
)
MOVES = [
    (move, about)
    for table, abouts, times in TABLES
    for move, weight in table.items()
    for about in abouts
    for _ in range(weight * times)
]
"""Moves with what each is about, as often as it is to be taken."""


class Coming(RuleBasedStateMachine):
    """One worker. What happens is drawn as lists of moves, each about something."""

    @initialize()
    def begin(self) -> None:
        self.groups = {name: Group(name) for name in GROUPS}
        self.on_their_way: dict[str, deque[News]] = {name: deque() for name in GROUPS}
        self.directory = Directory(_NoStore())
        self.hub = SharedHub(happened, lambda entry: HELLO if entry.seq % 5 else None, self.directory)
        self.devices: dict[str, Device] = {}
        self.reading: Iterator[None] | None = None

    def nothing(self, whatever: str) -> None:
        """What a move shrinks to."""

    # -- logs --

    def say(self, name: str) -> None:
        self._append(name)

    def say_and_hear(self, name: str) -> None:
        self._append(name)
        self._hear(name, -1)

    def _append(self, name: str, **change: str) -> None:
        self.groups[name].append(**change)
        self.on_their_way[name].append(self.groups[name].news[-1])

    def come_or_go(self, place: str) -> None:
        name, user = place.split()
        if user in self.groups[name].roster.members:
            self._append(name, goes=user)
        else:
            self._append(name, comes=user)

    # -- the bus --

    def hear(self, name: str) -> None:
        self._hear(name, 0)

    def hear_all(self, name: str) -> None:
        while self.on_their_way[name]:
            self._hear(name, 0)

    def hear_out_of_turn(self, name: str) -> None:
        self._hear(name, 1)

    def lose(self, name: str) -> None:
        if self.on_their_way[name]:
            self.on_their_way[name].popleft()

    def hear_again(self, name: str) -> None:
        for news in self.groups[name].news[-3:]:
            self.hub.hear(self._form(news))

    def _hear(self, name: str, place: int) -> None:
        way = self.on_their_way[name]
        if way and place < len(way):
            news = way[place]
            del way[place]
            self.hub.hear(self._form(news))

    def _form(self, news: News) -> News:
        """As it is in this process, or as it crosses the bus: with names, by the roster's number, or as a hint."""
        if news.seq % 4 == 0:
            return news
        crossing = msgspec.structs.replace(news, content=None)
        if news.seq % 4 == 1:
            return crossing
        return msgspec.structs.replace(crossing, audience=None, entry=news.entry if news.seq % 4 == 2 else None)

    def learn(self, name: str) -> None:
        """A roster comes to hand, not always the latest."""
        self.directory.learn(self.groups[name].rosters[-2:][len(self.groups[name].entries) % 2 - 1])

    # -- connections --

    def connect(self, which: str) -> None:
        if which not in self.devices:
            user = DEVICES[which]
            device = self.devices[which] = Device(user, self.groups)
            self.hub.attach(user, device.delivery)

    def leave(self, which: str) -> None:
        device = self.devices.pop(which, None)
        if device is not None:
            self.hub.detach(device.user, device.delivery)
            device.delivery.end()
            device.outbox.discard()

    def sync_all(self, which: str) -> None:
        self.connect(which)
        device = self.devices[which]
        if device.sync is None:
            device.sync = self._sync(device, True)
            self.step(which)

    def sync_stale(self, which: str) -> None:
        device = self.devices.get(which)
        if device is not None and device.sync is None and device.delivery.phase is Phase.LIVE:
            device.sync = self._sync(device, False)
            self.step(which)

    def step(self, which: str) -> None:
        device = self.devices.get(which)
        if device is not None and device.sync is not None:
            try:
                next(device.sync)
            except StopIteration:
                device.sync = None

    def finish(self, which: str) -> None:
        while which in self.devices and self.devices[which].sync is not None:
            self.step(which)

    def fail(self, which: str) -> None:
        device = self.devices.get(which)
        if device is not None and device.sync is not None:
            device.sync = None
            self.hub.interrupt(device.delivery)
            if device.delivery.phase is Phase.IDLE:
                device.due.clear()

    def _sync(self, device: Device, everything: bool) -> Iterator[None]:
        user, delivery = device.user, device.delivery
        if everything:
            named = list(GROUPS)
            delivery.gather()
            device.due.clear()
        else:
            named = [name for name, due in device.due.items() if due is None]
            delivery.fall_behind(named)
        self.hub.begin(user, delivery)
        yield
        starts = []
        for name in named:
            membership = self.groups[name].people.get(user)
            if membership is None:
                continue
            end = self.groups[name].visible_end(user)
            starts.append(
                Start(
                    conversation=name,
                    seq=min(max(device.has.get(name, 0), membership.since), end),
                    last_seq=end,
                    recent=False,
                    since=membership.since,
                    present=membership.standing == "member",
                )
            )
        yield
        device.began({start.conversation: start.seq for start in starts})
        waiting = self.hub.settle(user, delivery, starts)
        while waiting and delivery.phase is Phase.LIVE:
            cursor = waiting.pop()
            entries = self._visible(user, cursor)
            yield
            if entries and delivery.read(*[happened(entry, HELLO) for entry in entries]):
                cursor = Cursor(conversation=cursor.conversation, seq=entries[-1].seq)
            if delivery.is_behind(cursor.conversation) and (len(entries) == READ or not delivery.level(cursor)):
                waiting.append(cursor)

    def _visible(self, user: str, cursor: Cursor) -> list[Entry]:
        group = self.groups[cursor.conversation]
        membership = group.people.get(user)
        if membership is None:
            return []
        return group.entries[max(cursor.seq, membership.since) : group.visible_end(user)][:READ]

    # -- the worker --

    def read_on(self, whatever: str) -> None:
        if self.reading is None:
            self.reading = self._read()
        try:
            next(self.reading)
        except StopIteration:
            self.reading = None

    def _read(self) -> Iterator[None]:
        gaps = self.hub.gaps(10)
        yield
        tails = []
        for gap in gaps:
            group = self.groups[gap.conversation]
            tails.append(
                Tail(
                    conversation=group.name,
                    last_seq=len(group.entries),
                    access=group.roster.access,
                    entries=tuple(group.entries[gap.seq :][:READ]),
                )
            )
        yield
        for gap, tail in zip(gaps, tails, strict=True):
            roster = self.directory.known(tail.conversation)
            if roster is None or roster.access < tail.access:
                roster = self.groups[tail.conversation].roster
                yield
                self.directory.learn(roster)
            self.hub.fill(gap, tail, [HELLO] * len(tail.entries), roster)

    def read_up(self, whatever: str) -> None:
        while self.reading is not None or self.hub.gaps(1):
            self.read_on(whatever)

    def look(self, whatever: str) -> None:
        self.hub.reached(
            Reach(
                user=user,
                conversation=group.name,
                last_seq=group.visible_end(user),
                since=membership.since,
                present=membership.standing == "member",
            )
            for group in self.groups.values()
            for user, membership in group.people.items()
            if user in self.hub.users
        )

    @rule(happening=st.lists(st.sampled_from([("nothing", ""), *MOVES]), min_size=30, max_size=60))
    def happen(self, happening: list[tuple[str, str]]) -> None:
        for move, about in happening:
            getattr(self, move)(about)

    def teardown(self) -> None:
        """Whoever believes to be up to date is, once the worker has looked."""
        if not hasattr(self, "groups"):
            return
        for which in DEVICES:
            self.finish(which)
        self.look("")
        self.read_up("")
        for device in self.devices.values():
            if device.delivery.phase is not Phase.LIVE:
                continue
            for group in self.groups.values():
                due = device.due.get(group.name, 0)
                if device.user in group.roster.members:
                    assert due in (None, len(group.entries) + 1), f"{device.user} waits for {due} of {group.name}"
                elif due:
                    assert not group.may_see(device.user, due), f"{device.user} never saw {due} of {group.name}"


class _NoStore:
    """Nothing is looked up by itself here."""


def test_whoever_comes_and_goes_sees_theirs_once_and_in_order_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "HELD_EVENTS", 3)
    monkeypatch.setattr(shared_module, "EARLY_NEWS", 2)
    monkeypatch.setattr(shared_module, "LONGEST_GAP", 6)
    monkeypatch.setattr(shared_module, "SHORT_LOG", 4)
    run_state_machine_as_test(Coming, settings=settings(max_examples=150, stateful_step_count=4, deadline=None))


def test_a_second_stay_of_which_nothing_was_heard_is_told_of() -> None:
    """Found by the machine above: news of both its ends lost while the first stay was still being read."""
    state = Coming()
    state.begin()
    state.sync_all("bob's")
    for _ in ("comes", "goes"):
        state.come_or_go("h bob")
    for _ in ("where it begins", "what it holds"):
        state.step("bob's")
    for _ in ("comes", "goes"):
        state.come_or_go("h bob")
    state.teardown()


def test_a_stay_that_was_read_twice_is_not_told_again_by_late_news() -> None:
    """Found by the machine above: another device's positions were being read, so the stay still concerned somebody."""
    state = Coming()
    state.begin()
    for which in ("alice's phone", "alice's tablet"):
        state.sync_all(which)
    for _ in ("comes", "goes"):
        state.come_or_go("g alice")
    for _ in ("once", "twice"):
        state.finish("alice's tablet")
        state.sync_all("alice's tablet")
    for _ in ("where it begins", "what it holds"):
        state.step("alice's tablet")
    state.hear("g")
    state.teardown()


def test_a_stay_that_was_read_is_not_told_again_once_nobody_follows_the_log() -> None:
    """Found by the machine above: somebody else's following had kept late news away, until they left."""
    state = Coming()
    state.begin()
    state.come_or_go("g alice")
    state.hear("g")
    for which in ("alice's phone", "alice's tablet"):
        state.sync_all(which)
    state.come_or_go("g alice")
    state.hear("g")
    state.finish("alice's tablet")
    for which in ("alice's tablet", "carol's"):
        state.sync_all(which)
    state.step("alice's tablet")
    state.come_or_go("g carol")
    state.hear("g")
    state.step("alice's tablet")
    state.leave("carol's")
    state.hear_again("g")
    state.teardown()
