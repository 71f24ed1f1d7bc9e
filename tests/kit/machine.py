"""Everybody and their devices, doing one thing after the other: chatd and the model side by side."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from chatd.errors import ChatdError
from chatd.settings.model import Search
from chatd.state.ids import direct, event_queue
from chatd.store.memory.database import MemoryDatabase
from tests.kit.at_once import Watch
from tests.kit.model import Model
from tests.kit.model_logs import Log, Refused
from tests.kit.model_talk import words
from tests.kit.replica import hidden_in, kind_of, replica, target_of
from tests.kit.stores import new_client_id, new_id
from tests.kit.world import COMMANDS, NOON, Asker, Chat, Connection

PEOPLE = ("alice", "bob", "carol", "dave")
DEVICES = ("phone", "tablet")
NOWHERE = "nowhere"
"""A log that there is none of."""

MAX_REACTIONS = 2
MAX_EMOJIS = 3
EDIT_HOURS = 3
SETTINGS: dict[str, Any] = {
    "max_text_chars": 1000,
    "max_reactions": MAX_REACTIONS,
    "max_emojis": MAX_EMOJIS,
    "edit_seconds": EDIT_HOURS * 3600,
    "search": Search(enabled=True),
}
"""Of the chat that the model is held against."""

FIELDS_NAMING_LOGS = ("conversation", "into")
PAST = NOON - timedelta(days=1)

Settle = Callable[[Deferred[Any]], Any]
"""What a command leads to, however long that takes; raises what it fails with."""


def new_chat() -> Chat:
    """A chat in memory, whose database has its worker's time: each change comes a little later."""
    ticks = count()
    database = MemoryDatabase(lambda: chat.now + timedelta(microseconds=next(ticks)))
    chat = Chat(database, **SETTINGS)
    return chat


def at_once(deferred: Deferred[Any]) -> Any:
    """For stores in memory."""
    return Watch(deferred).result


@dataclass
class Device:
    """What one device has got of each log, and how far it has acknowledged that."""

    user: str
    name: str
    epoch: str | None = None
    connection: Connection | None = None
    got: dict[str, list[Any]] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)

    @property
    def cursors(self) -> dict[str, int]:
        return {conversation: events[-1].seq for conversation, events in self.got.items() if events}

    def take(self, events: list[Any]) -> None:
        for event in events:
            if hasattr(event, "seq") and hasattr(event, "time"):
                self.got.setdefault(event.conversation, []).append(event)


@dataclass(frozen=True)
class Done:
    """A command that was carried out, to be sent again."""

    user: str
    name: str
    fields: dict[str, Any]
    reply: Any


class Machine:
    """``settle`` waits for what ``chat`` answers. ``suffix`` tells these people from others in the same store."""

    def __init__(self, chat: Chat, settle: Settle = at_once, *, suffix: str = "") -> None:
        self.chat = chat
        self.settle = settle
        self.people = [f"{name}{suffix}" for name in PEOPLE]
        self.model = Model(
            chat.now,
            max_reactions=MAX_REACTIONS,
            max_emojis=MAX_EMOJIS,
            invitation=timedelta(days=7),
            edit=timedelta(hours=EDIT_HOURS),
        )
        self.ids = {NOWHERE: new_id()} | {f"queue of {one}": event_queue(one) for one in self.people}
        for one in self.people:
            self.ids |= {"+".join(sorted((one, other))): direct(one, other) for other in self.people}
        self.devices = {(user, name): Device(user, name) for user in self.people for name in DEVICES}
        self.done: list[Done] = []
        self.refused: dict[str, int] = {}

    # -- asking --

    def asker(self, device: Device) -> Asker:
        """Its connection, or HTTP where it has none."""
        return device.connection or self.chat.http(device.user, device.name)

    def ask(self, asker: Asker, name: str, /, **fields: Any) -> Any:
        command = msgspec.convert({"id": 1, "type": name, **fields}, COMMANDS)
        return self.settle(self.chat.router.dispatch(asker, command))

    def answer(self, asker: Asker, name: str, /, **fields: Any) -> Any:
        """The reply, or the code of the error."""
        try:
            return self.ask(asker, name, **fields)
        except ChatdError as error:
            return error.code

    def named(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Fields as they go over the wire: logs by their ids."""
        return {n: self.ids[value] if n in FIELDS_NAMING_LOGS else value for n, value in fields.items()}

    def do(self, device: Device, name: str, /, **fields: Any) -> None:
        """Ask chatd and the model the same; hold the one against the other."""
        given = {n: value for n, value in fields.items() if value is not None}
        method = getattr(self.model, name.replace(".", "_"))
        try:
            place, code = method(device.user, **given), None
        except Refused as refusal:
            place, code = None, refusal.code
        sent = self.named(given)
        if name not in ("ack", "read", "announcement.read"):
            sent["client_id"] = new_client_id()
        reply = self.answer(self.asker(device), name, **sent)
        about = f"{device.user}: {name} {given}"
        if code is not None:
            assert reply == code, about
            self.refused[code] = self.refused.get(code, 0) + 1
        else:
            assert not isinstance(reply, str), (about, reply)
            if place is not None:
                self._placed(about, place, reply)
                self.done.append(Done(device.user, name, sent, reply))
        self.look()

    def _placed(self, about: str, place: tuple[str, int], reply: Any) -> None:
        log, seq = place
        if log not in self.ids:
            self.ids[log] = reply.conversation
        assert (reply.conversation, reply.seq) == (self.ids[log], seq), about
        self.model.times[place] = reply.time

    def again(self, done: Done, device: str) -> None:
        """What was carried out gets its first reply again; its ``client_id`` serves for nothing else."""
        asker = self.asker(self.devices[done.user, device])
        assert self.ask(asker, done.name, **done.fields) == done.reply
        client_id = done.fields["client_id"]
        assert self.answer(asker, "user.update", client_id=client_id, name="somebody else") == "conflict"
        self.look()

    # -- devices --

    def connect(self, device: Device, *, acknowledged: bool = False) -> None:
        """Connect and catch up, from what the device has or, with ``acknowledged``, from what the server knows."""
        if device.connection is not None:
            return
        device.connection = Connection(self.chat, device.user, device.name)
        if acknowledged:
            for conversation, events in device.got.items():
                reached = device.acknowledged.get(conversation, 0)
                device.got[conversation] = [event for event in events if event.seq <= reached]
        cursors = {} if acknowledged else device.cursors
        reply = self.ask(device.connection, "sync", cursors=cursors, epoch=device.epoch)
        device.epoch = reply.epoch
        self._check_reset(device, cursors, reply.reset)
        self.look()

    def disconnect(self, device: Device) -> None:
        if device.connection is not None:
            self._read(device)
            device.connection.hang_up()
            device.connection = None

    def pull(self, device: Device, limit: int) -> None:
        """Catch up over HTTP, page by page."""
        if device.connection is not None:
            return
        asker, more = self.chat.http(device.user, device.name), True
        while more:
            cursors = device.cursors
            page = self.ask(asker, "sync", cursors=cursors, epoch=device.epoch, limit=limit)
            device.epoch = page.epoch
            assert len(page.events) <= limit
            assert page.events or not page.more
            self._check_reset(device, cursors, page.reset)
            device.take(page.events)
            more = page.more
        self._check_whole(device)

    def _check_reset(self, device: Device, cursors: dict[str, int], reset: list[str]) -> None:
        """A log is only reset where its reader has left meanwhile, and has come back behind their cursor."""
        stale = {
            self.ids[log.name]
            for log in self.model.logs.values()
            if 0 < cursors.get(self.ids[log.name], 0) < log.of(device.user).since
        }
        assert set(reset) == stale

    def acknowledge(self, device: Device) -> None:
        """Acknowledge all that it has got."""
        for conversation, seq in device.cursors.items():
            [log] = [name for name, id in self.ids.items() if id == conversation]
            self.do(device, "ack", conversation=log, seq=seq)
            device.acknowledged[conversation] = seq

    # -- what is held against the model --

    def _read(self, device: Device) -> None:
        if device.connection is not None:
            device.take(device.connection.got)
            device.connection.got.clear()

    def look(self) -> None:
        """Whoever is connected has everything, at once; and no group is without an owner."""
        for device in self.devices.values():
            if device.connection is not None:
                self._read(device)
                self._check_whole(device)
        for log in self.model.logs.values():
            assert log.kind != "group" or log.owners >= 1

    def _check_whole(self, device: Device) -> None:
        """Of each log it has what its user may see, once and in order, and nothing else."""
        logs = {self.ids[log.name]: log for log in self.model.logs.values()}
        assert device.got.keys() <= logs.keys()
        for id, log in logs.items():
            events = device.got.get(id, [])
            low, high = log.range(device.user)
            seqs = [event.seq for event in events]
            now = [seq for seq in seqs if seq > low]
            assert now == list(range(low + 1, high + 1)), (device.user, device.name, log.name)
            assert seqs == sorted(set(seqs))
            self._check_new(log, events)

    def _check_new(self, log: Log, events: list[Any]) -> None:
        """The latest few events tell what was done."""
        for event in events[-3:]:
            change = log.changes[event.seq - 1]
            assert kind_of(event) == change.kind
            if change.kind in ("message.created", "message.edited"):
                gone = event.deleted or event.hidden
                assert (event.sender, event.text) == (change.by, "" if gone else change.text)
            if change.target is not None and log.kind != "queue":
                assert target_of(event) == change.target
            if change.kind in ("member.removed", "member.banned", "group.transferred"):
                assert (event.by, event.user) == (change.by, change.text)

    def compare(self, user: str) -> None:
        """Everything that a person may read is as the model has it; and they may read nothing else."""
        asker = self.chat.http(user, "reader")
        for log in self.model.logs.values():
            self._compare_history(asker, log)
            self._compare_info(asker, log)
            self._compare_announcements(asker, log)
        self._compare_search(asker)
        for archived in (False, True):
            page = self.ask(asker, "conversation.list", archived=archived)
            names = [self.ids[name] for name in self.model.listed(user, archived=archived)]
            assert [one.conversation for one in page.conversations] == names
        blocked = [other for other in sorted(self.people) if (user, other) in self.model.blocks]
        assert [one.user for one in self.ask(asker, "block.list").users] == blocked
        followed = [other for other in sorted(self.people) if (user, other) in self.model.follows]
        assert [one.user for one in self.ask(asker, "following.list").users] == followed
        self._compare_replicas(user)

    def _compare_history(self, asker: Asker, log: Log) -> None:
        user, id = asker.user, self.ids[log.name]
        answer = self.answer(asker, "history.get", conversation=id, limit=500)
        if not log.reads(user):
            assert answer == "not_found"
            return
        low, high = log.range(user, history=True)
        expected = {seq: message for seq, message in log.messages.items() if low < seq <= high}
        assert [message.seq for message in answer.messages] == sorted(expected)
        for shown in answer.messages:
            message = expected[shown.seq]
            hidden = user in message.hidden_from
            text, mentions = ("", ()) if hidden or message.deleted else message.latest(high)
            assert (shown.sender, shown.text, tuple(shown.mentions)) == (message.author, text, mentions)
            assert (shown.deleted, shown.hidden, shown.thread) == (message.deleted, hidden, message.thread)
            if text:
                assert (shown.reply_to, shown.forwarded_from) == (message.reply_to, message.origin(high))
            assert shown.pinned is (message.pinned is not None and message.pinned <= high)
            if not hidden:
                assert {one.emoji: one.count for one in shown.reactions} == _tally(message.reactions)
        pins = self.ask(asker, "pin.list", conversation=id).messages
        assert [pin.seq for pin in pins] == [shown.seq for shown in answer.messages if shown.pinned]
        for first in {shown.thread for shown in answer.messages if shown.thread is not None}:
            thread = self.ask(asker, "thread.get", conversation=id, seq=first).messages
            assert [reply.seq for reply in thread] == [one.seq for one in answer.messages if one.thread == first]

    def _compare_info(self, asker: Asker, log: Log) -> None:
        user, id = asker.user, self.ids[log.name]
        one = log.of(user)
        info = self.answer(asker, "conversation.get", conversation=id)
        if not one.inside:
            assert info == "not_found"
            return
        unread = log.unread(user)
        mentions = [message for message in unread if user in message.latest(log.end)[1]]
        assert (info.last_seq, info.unread, info.mentions) == (log.end, len(unread), len(mentions))
        assert (info.read, info.delivered) == (one.read, one.delivered)
        muted = one.quiet(self.model.now)
        assert (info.muted, info.archived, info.private_reading) == (muted, one.archived, one.private)
        for member in info.members:
            theirs = log.of(member.user)
            apart = self.model.apart(user, member.user)
            assert (member.delivered, member.read) == ((None, None) if apart else (theirs.delivered, theirs.shown))
        assert [member.user for member in info.members] == list(log.members)
        if log.kind == "group":
            members = self.ask(asker, "member.list", conversation=id).members
            assert {member.user: member.role for member in members} == {u: m.role for u, m in log.members.items()}
            group = self.ask(asker, "group.get", conversation=id)
            assert (group.title, group.role, group.deleted) == (log.title, one.role, log.closed)

    def _compare_announcements(self, asker: Asker, log: Log) -> None:
        """Who has confirmed is for those to know who may announce."""
        one, id = log.of(asker.user), self.ids[log.name]
        for seq, message in log.messages.items():
            if message.confirmed is None:
                continue
            answer = self.answer(asker, "announcement.readers", conversation=id, seq=seq)
            if not one.inside or one.role == "member":
                assert answer == ("forbidden" if one.inside else "not_found")
            else:
                assert [reader.user for reader in answer.readers] == sorted(message.confirmed)
                assert (answer.read, answer.members) == (len(message.confirmed), len(log.members))

    def _compare_search(self, asker: Asker) -> None:
        """Words that were said, or once were, are found where they still stand."""
        said = {
            word
            for log in self.model.logs.values()
            for message in log.messages.values()
            for text, _ in message.versions.values()
            for word in words(text)
        }
        for word in sorted(said)[:: max(1, len(said) // 4)]:
            places: list[tuple[str, int]] = []
            cursor, more = None, True
            while more:
                page = self.ask(asker, "message.search", query=word, limit=5, cursor=cursor)
                places += [(one.conversation, one.seq) for one in page.messages]
                cursor, more = page.next, page.next is not None
            expected = {(self.ids[log], seq) for log, seq in self.model.found(asker.user, word)}
            assert (set(places), len(places)) == (expected, len(expected)), word

    def _compare_replicas(self, user: str) -> None:
        """What each device makes of its events is the present state; so does one that has the log alone."""
        fresh = Device(user, "new")
        fresh.take(self.ask(self.chat.http(user, "new"), "sync", limit=500).events)
        self._check_whole(fresh)
        for device in (fresh, *(one for one in self.devices.values() if one.user == user and one.connection)):
            for log in self.model.logs.values():
                if log.kind != "queue" and log.of(user).inside:
                    self._compare_replica(device, log)

    def _compare_replica(self, device: Device, log: Log) -> None:
        user, id = device.user, self.ids[log.name]
        events = device.got.get(id, [])
        made = replica(events, hidden_in(device.got.get(event_queue(user), []), id))
        low, high = log.range(user)
        for seq, message in log.messages.items():
            if not low < seq <= high:
                continue
            told = made.messages[seq]
            assert (told.deleted, told.hidden) == (message.deleted, user in message.hidden_from)
            if not message.deleted and not told.hidden:
                assert told.text == message.latest(high)[0]
            assert told.pinned is (message.pinned is not None)
            assert {emoji: len(who) for emoji, who in told.reactions.items() if who} == _tally(message.reactions)
        if log.kind == "group" and [event.seq for event in events] == list(range(1, log.end + 1)):
            assert made.roles == {member: one.role for member, one in log.members.items()}
            assert made.title == log.title


def _tally(reactions: dict[tuple[str, str], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for emoji, _ in reactions:
        found[emoji] = found.get(emoji, 0) + 1
    return found
