"""Whoever has left, was removed, banned or blocked sees nothing that came later, by whatever way they look for it."""

from collections.abc import Mapping
from typing import Any

import pytest

from chatd.errors import Forbidden
from chatd.handlers.presence import PresenceNotice
from chatd.handlers.typing import TypingStarted
from chatd.state.ids import direct
from chatd.wire.events import EphemeralEvent
from tests.kit.groups import act
from tests.kit.standings import DECLARED, FORMER, HEART, Couples, Standings, by_http

LATER = "zebra"
"""Stands in everything that is said once they have gone."""

GOING = {
    "left": ("member.leave", {}, "self"),
    "removed": ("member.remove", {"user": "member"}, "owner"),
    "banned": ("member.ban", {"user": "member"}, "owner"),
}


def go_on(world: Standings) -> None:
    """Everything that can be done in a group, in which ``said`` is an old message."""
    ask, group = world.chat.http, world.group
    other = ask("other")
    ask("owner").send(LATER, conversation=group)
    reply = other.send(f"{LATER} re", conversation=group, reply_to=world.said)
    act(other, "message.edit", group, seq=world.said, text=f"{LATER} ed")
    act(other, "reaction.add", group, seq=world.said, emoji=HEART)
    for seq in (world.said, reply.seq):
        act(ask("owner"), "message.pin", group, seq=seq)
    act(ask("owner"), "group.update", group, title=f"{LATER} club", rules={"joining": "invitation"})
    act(ask("owner"), "announcement.post", group, text=LATER)
    other.ask("typing.start", conversation=group)
    other.ask("read", conversation=group, seq=reply.seq)
    other.ask("ack", conversation=group, seq=reply.seq)


def readings(world: Standings) -> Mapping[str, dict[str, Any]]:
    """Every command that shows something, as somebody asks who looks for what is said in the group.

    A new one is asked for without any fields, unless it stands here.
    """
    place = {"conversation": world.group}
    message = {**place, "seq": world.said}
    wanted = {
        **dict.fromkeys(
            ("history.get", "pin.list", "member.list", "conversation.get", "group.get", "join.list"), place
        ),
        **dict.fromkeys(("ban.list", "invitation.list"), place),
        **dict.fromkeys(("thread.get", "message.versions", "reaction.list", "message.receipts"), message),
        "announcement.readers": {**place, "seq": world.announced},
        "message.search": {"query": LATER},
        "sync": {},
    }
    alone = {name for name, one in DECLARED.items() if one.route.method == "GET"} - wanted.keys()
    return {**wanted, **{name: {} for name in alone}}


@pytest.fixture(scope="module")
def world() -> Standings:
    world = Standings()
    go_on(world)
    return world


@pytest.mark.parametrize("who", FORMER)
def test_no_reading_shows_it(who: str, world: Standings) -> None:
    shown = {name: by_http(world.chat, who, name, fields) for name, fields in readings(world).items()}
    members = {name: by_http(world.chat, "member", name, fields) for name, fields in readings(world).items()}
    assert {name for name, heard in shown.items() if LATER in str(heard.said) or HEART in str(heard.said)} == set()
    assert {name for name, heard in members.items() if heard.outcome not in ("ok", "403")} == set()
    for name in ("history.get", "pin.list", "thread.get", "message.versions", "message.search", "sync"):
        assert LATER in str(members[name].said), name
    assert b"words" in shown["history.get"].said
    assert b"a pin" in shown["pin.list"].said


@pytest.mark.parametrize("how", GOING)
def test_what_is_open_and_what_comes_back_hears_nothing_more(how: str) -> None:
    """At once on a connection that was live, and on resuming from what it had."""
    command, fields, by = GOING[how]
    world = Standings()
    live = world.chat.connect("member")
    world.do("member" if by == "self" else by, command, conversation=world.group, **fields)
    *_, last = [event.seq for event in live.got if getattr(event, "conversation", None) == world.group]
    live.got.clear()
    go_on(world)
    assert [event for event in live.got if getattr(event, "conversation", None) == world.group] == []
    assert [event for event in live.got if isinstance(event, EphemeralEvent)] == []
    for cursors in ({}, {world.group: 1}, {world.group: last}):
        back = world.chat.connect("member", f"device{len(cursors)}{last}", synced=False)
        back.ask("sync", cursors=cursors)
        page = world.chat.http("member").ask("sync", cursors=cursors, limit=500)
        for events in (back.got, page.events):
            seqs = [event.seq for event in events if getattr(event, "conversation", None) == world.group]
            assert max(seqs, default=last) == last
            assert LATER not in str(events)
        back.hang_up()


@pytest.mark.parametrize(("who", "other"), [("ann", "bea"), ("bea", "ann")], ids=["who blocks", "who is blocked"])
def test_two_of_whom_one_blocks_the_other_hear_nothing_more_of_each_other(who: str, other: str) -> None:
    """But that the other is offline, as far as they may know."""
    world = Couples()
    speaks, hears = world.chat.connect(who), world.chat.connect(other)
    hears.ask("presence.subscribe", users=[who])
    together = direct(who, other)
    speaks.ask("typing.start", conversation=together)
    assert hears.of(TypingStarted)
    world.do("ann", "user.block", user="bea")
    hears.got.clear()
    for name, fields in (("typing.start", {}), ("message.send", {"client_id": "later", "text": LATER})):
        with pytest.raises(Forbidden):
            speaks.ask(name, conversation=together, **fields)
    speaks.ask("read", conversation=together, seq=2)
    speaks.ask("ack", conversation=together, seq=2)
    speaks.ask("presence.set", status="away")
    world.chat.pass_time(5)
    told = [event for event in hears.got if not (isinstance(event, PresenceNotice) and event.status == "offline")]
    assert told == []
