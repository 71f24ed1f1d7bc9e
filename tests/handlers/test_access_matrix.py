"""Who may do what to whom: every command, asked by people who stand in every way there is, over both transports.

A new command fails here until it has a row, in one of the tables or among those that concern nobody else. A row says
what comes of it for each column:

==== ==========================================================================
ok   done, or shown
403  ``forbidden``: they may know of it, and not do this
404  ``not_found``: it is to them as if it were not there
400  ``invalid``: it makes no sense for them
409  ``unchanged``: it is so already
\\-  answered, and of this person nothing is told, as if there were none
==== ==========================================================================

Whoever is refused has changed nothing by asking.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from chatd.state.ids import direct
from tests.kit.standings import DECLARED, HEART, THUMB, UNTIL, WAYS, Couples, Heard, Standings, by_http, by_websocket
from tests.kit.stores import new_client_id

Cells = Mapping[str, str]
Fields = Mapping[str, Any]


def table(text: str) -> Mapping[str, Cells]:
    """Rows by their names, each with its cells by the names of the columns."""
    head, *rows = (line.split("|") for line in text.strip().splitlines())
    columns = " ".join(head[1:]).split()
    return {row[0].strip(): dict(zip(columns, " ".join(row[1:]).split(), strict=True)) for row in rows}


IN_A_GROUP = table("""
.                        | owner admin member muted | left removed banned | invited asking stranger
group.get                |  ok    ok    ok     ok   |  ok    ok     404   |   ok      ok     ok
conversation.get         |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
member.list              |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
history.get              |  ok    ok    ok     ok   |  ok    ok     ok    |  404     404    404
pin.list                 |  ok    ok    ok     ok   |  ok    ok     ok    |  404     404    404
thread.get               |  ok    ok    ok     ok   |  ok    ok     ok    |  404     404    404
message.search           |  ok    ok    ok     ok   |  ok    ok     ok    |  404     404    404
message.versions         |  ok    ok    ok     ok   |  ok    ok     ok    |  404     404    404
message.versions later   |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
reaction.list            |  ok    ok    ok     ok   |  ok    ok     ok    |  404     404    404
reaction.list later      |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
message.receipts         |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
ack                      |  ok    ok    ok     ok   |  ok    ok     ok    |  404     404    404
ack later                |  ok    ok    ok     ok   | 400    400    400   |  404     404    404
read                     |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
typing.start             |  ok    ok    ok    403   | 404    404    404   |  404     404    404
typing.stop              |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
message.send             |  ok    ok    ok    403   | 404    404    404   |  404     404    404
message.edit             | 403   403   403    403   | 404    404    404   |  404     404    404
message.edit own         |  ok    ok    ok    403   | 404    404    404   |  404     404    404
message.delete           |  ok    ok   403    403   | 404    404    404   |  404     404    404
message.delete own       |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
message.pin              |  ok    ok   403    403   | 404    404    404   |  404     404    404
message.unpin            |  ok    ok   403    403   | 404    404    404   |  404     404    404
message.hide             |  ok    ok    ok     ok   |  ok    ok     ok    |  404     404    404
message.hide later       |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
message.forward          |  ok    ok    ok     ok   |  ok    ok     ok    |  404     404    404
message.forward later    |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
message.forward into     |  ok    ok    ok    403   | 404    404    404   |  404     404    404
reaction.add             |  ok    ok    ok    403   | 404    404    404   |  404     404    404
reaction.remove          |  ok    ok    ok    403   | 404    404    404   |  404     404    404
conversation.mute        |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
conversation.unmute      | 409   409   409    409   | 404    404    404   |  404     404    404
conversation.archive     |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
conversation.unarchive   | 409   409   409    409   | 404    404    404   |  404     404    404
reading.hide             |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
reading.show             | 409   409   409    409   | 404    404    404   |  404     404    404
group.update             |  ok    ok   403    403   | 404    404    404   |  404     404    404
group.update rules       |  ok   403   403    403   | 404    404    404   |  404     404    404
group.transfer           |  ok   403   403    403   | 404    404    404   |  404     404    404
group.delete             |  ok   403   403    403   | 404    404    404   |  404     404    404
member.add               |  ok    ok   403    403   | 404    404    404   |  404     404    404
member.remove            |  ok    ok   403    403   | 404    404    404   |  404     404    404
member.remove the owner  | 400   403   403    403   | 404    404    404   |  404     404    404
member.leave             | 403    ok    ok     ok   | 404    404    404   |  404     404    404
member.role              |  ok   403   403    403   | 404    404    404   |  404     404    404
member.ban               |  ok    ok   403    403   | 404    404    404   |  404     404    404
member.unban             |  ok    ok   403    403   | 404    404    404   |  404     404    404
ban.list                 |  ok    ok   403    403   | 404    404    404   |  404     404    404
member.mute              |  ok    ok   403    403   | 404    404    404   |  404     404    404
member.unmute            |  ok    ok   403    403   | 404    404    404   |  404     404    404
invitation.send          |  ok    ok   403    403   | 404    404    404   |  404     404    404
invitation.revoke        |  ok    ok   403    403   | 404    404    404   |  404     404    404
invitation.list          |  ok    ok   403    403   | 404    404    404   |  404     404    404
invitation.accept        | 404   404   404    404   | 404    404    404   |   ok     404    404
invitation.decline       | 404   404   404    404   | 404    404    404   |   ok     404    404
join.request             | 409   409   409    409   |  ok    ok     404   |  409     409     ok
join.cancel              | 404   404   404    404   | 404    404    404   |  404      ok    404
join.approve             |  ok    ok   403    403   | 404    404    404   |  404     404    404
join.deny                |  ok    ok   403    403   | 404    404    404   |  404     404    404
join.list                |  ok    ok   403    403   | 404    404    404   |  404     404    404
announcement.post        |  ok    ok   403    403   | 404    404    404   |  404     404    404
announcement.read        |  ok    ok    ok     ok   | 404    404    404   |  404     404    404
announcement.readers     |  ok    ok   403    403   | 404    404    404   |  404     404    404
""")
"""A group into which people come by invitation or by asking. ``later`` is what was said when the former had gone."""

OF_TWO = table("""
.                        | peer blocking blocked | stranger
conversation.get         |  ok     ok      ok    |  404
history.get              |  ok     ok      ok    |  404
pin.list                 |  ok     ok      ok    |  404
thread.get               |  ok     ok      ok    |  404
message.search           |  ok     ok      ok    |  404
message.versions         |  ok     ok      ok    |  404
reaction.list            |  ok     ok      ok    |  404
message.receipts         |  ok     ok      ok    |  404
ack                      |  ok     ok      ok    |  404
read                     |  ok     ok      ok    |  404
typing.start             |  ok    403     403    |  404
typing.stop              |  ok     ok      ok    |  404
message.send             |  ok    403     403    |  404
message.edit             | 403    403     403    |  404
message.edit own         |  ok    403     403    |  404
message.delete           | 403    403     403    |  404
message.delete own       |  ok    403     403    |  404
message.pin              |  ok    403     403    |  404
message.unpin            |  ok    403     403    |  404
message.hide             |  ok     ok      ok    |  404
message.forward          |  ok     ok      ok    |  404
message.forward into     |  ok    403     403    |  404
reaction.add             |  ok    403     403    |  404
reaction.remove          |  ok    403     403    |  404
conversation.mute        |  ok     ok      ok    |  404
conversation.unmute      | 409    409     409    |  404
conversation.archive     |  ok     ok      ok    |  404
conversation.unarchive   | 409    409     409    |  404
reading.hide             |  ok     ok      ok    |  404
reading.show             | 409    409     409    |  404
group.get                | 404    404     404    |  404
group.update             | 403    403     403    |  404
group.transfer           | 403    403     403    |  404
group.delete             | 403    403     403    |  404
member.add               | 404    404     404    |  404
member.remove            | 403    403     403    |  404
member.leave             | 403    403     403    |  404
member.list              | 404    404     404    |  404
member.role              | 403    403     403    |  404
member.ban               | 403    403     403    |  404
member.unban             | 403    403     403    |  404
ban.list                 | 404    404     404    |  404
member.mute              | 403    403     403    |  404
member.unmute            | 403    403     403    |  404
invitation.send          | 404    404     404    |  404
invitation.accept        | 404    404     404    |  404
invitation.decline       | 404    404     404    |  404
invitation.revoke        | 403    403     403    |  404
invitation.list          | 404    404     404    |  404
join.request             | 404    404     404    |  404
join.cancel              | 404    404     404    |  404
join.approve             | 403    403     403    |  404
join.deny                | 403    403     403    |  404
join.list                | 404    404     404    |  404
announcement.post        | 403    403     403    |  404
announcement.read        | 404    404     404    |  404
announcement.readers     | 404    404     404    |  404
""")
"""A direct conversation, asked about by one of the two, who blocks the other or is blocked, and by somebody else."""

TO_A_PERSON = table("""
.                        | bea  cat  dot  eve  nobody
message.send             |  ok  403  403   ok   ok
message.forward          |  ok  403  403   ok   ok
user.follow              |  ok  403  403   ok   ok
user.unfollow            | 409  409  409  409  409
user.block               |  ok  409   ok   ok   ok
user.unblock             | 409   ok  409  409  409
user.get                 |  ok   ok   -    ok   -
presence.get             |  ok   -    -    -    -
presence.subscribe       |  ok   -    -    -    -
presence.unsubscribe     |  ok   ok   ok   ok   ok
group.create             |  ok  403  403   ok   ok
member.add               |  ok  403  403   ok   ok
invitation.send          |  ok  403  403   ok   ok
""")
"""Ann asks, who writes with bea, blocks cat, is blocked by dot, and has nothing to do with eve."""

OF_ONES_OWN = {
    "block.list",
    "conversation.list",
    "device.end",
    "device.end_others",
    "device.list",
    "follower.list",
    "following.list",
    "ping",
    "presence.set",
    "sync",
    "user.update",
}
"""These concern nobody but whoever asks."""

OF_SERVICES = {"token.revoke"}
"""These take a scope."""

LIVE = {"presence.subscribe", "presence.unsubscribe"}
"""These are about a connection; over HTTP they are refused."""

FORGETFUL = {"ack", "read", "announcement.read"}
"""These need no ``client_id``."""


def alike(fields: Fields, *rows: str) -> dict[str, Fields]:
    """The same for several rows."""
    return dict.fromkeys(rows, fields)


def asked(row: str, fields: Fields) -> tuple[str, Fields]:
    """The command of a row, and all that it needs."""
    name = row.split()[0]
    known = DECLARED[name].shape.__struct_fields__
    return name, {
        **fields,
        **({"client_id": new_client_id()} if "client_id" in known and name not in FORGETFUL else {}),
    }


def in_the_group(row: str, who: str, world: Standings) -> Fields:
    """What a row of the group's asks for."""
    said: Fields = {"conversation": world.group, "seq": world.later if row.endswith("later") else world.said}
    group: Fields = {"conversation": world.group}
    more: dict[str, Fields] = {
        **alike(said, "thread.get", "message.versions", "reaction.list", "message.receipts", "ack", "read"),
        **alike(said, "message.delete", "message.pin", "message.hide"),
        "message.edit": {**said, "text": "other"},
        "message.edit own": {**said, "seq": world.own.get(who, world.said), "text": "other"},
        "message.delete own": {**said, "seq": world.own.get(who, world.said)},
        "message.unpin": {**said, "seq": world.pinned},
        "message.forward": {**said, "to": "other"},
        "message.forward into": {**said, "into": world.group},
        "reaction.add": {**said, "emoji": HEART},
        "reaction.remove": {**said, "emoji": THUMB},
        "group.update rules": {"rules": {"posting": "admin"}},
        "member.remove the owner": {"user": "owner"},
        "member.unban": {"user": "outlaw"},
        "member.unmute": {"user": "hushed"},
        "invitation.send": {"user": "newcomer"},
        "invitation.revoke": {"user": "guest"},
        **alike({"user": "applicant"}, "join.approve", "join.deny"),
        **alike({"seq": world.announced}, "announcement.read", "announcement.readers"),
    }
    plain = row.removesuffix(" later")
    return group | (more.get(plain) or _EITHER.get(plain, {}))


_EITHER: Mapping[str, Fields] = {
    "message.search": {"query": "words"},
    **alike({"text": "more"}, "message.send", "announcement.post"),
    "group.update": {"title": "Theirs"},
    "member.add": {"users": ["newcomer"]},
    **alike({"user": "other"}, "group.transfer", "member.remove", "member.ban"),
    "member.role": {"user": "other", "role": "admin"},
    "member.mute": {"user": "other", "until": UNTIL},
}


def between_two(row: str, conversation: str) -> Fields:
    """What a row of a direct conversation's asks for; the peer's message stands at 2, ann's own at 1."""
    theirs: Fields = {"seq": 2}
    more: dict[str, Fields] = {
        **alike(theirs, "thread.get", "message.versions", "reaction.list", "message.receipts", "ack", "read"),
        **alike(theirs, "message.delete", "message.unpin", "message.hide"),
        **alike({"seq": 1}, "message.pin", "message.delete own"),
        **alike(theirs, "announcement.read", "announcement.readers"),
        "message.edit": {**theirs, "text": "other"},
        "message.edit own": {"seq": 1, "text": "other"},
        "message.forward": {**theirs, "to": "ann"},
        "message.forward into": {**theirs, "into": conversation},
        "reaction.add": {**theirs, "emoji": HEART},
        "reaction.remove": {**theirs, "emoji": THUMB},
        **alike({"user": "eve"}, "member.unban", "member.unmute", "invitation.send", "invitation.revoke"),
        **alike({"user": "eve"}, "join.approve", "join.deny"),
    }
    return {"conversation": conversation} | (more.get(row) or _EITHER.get(row, {}))


def to_a_person(row: str, whom: str, world: Couples) -> Fields:
    """What a row about a person asks for."""
    more: dict[str, Fields] = {
        "message.send": {"to": whom, "text": "hello"},
        "message.forward": {"conversation": direct("ann", "bea"), "seq": 2, "to": whom},
        "group.create": {"title": "Ours", "members": [whom]},
        "member.add": {"conversation": world.group, "users": [whom]},
        "invitation.send": {"conversation": world.group, "user": whom},
        **alike({"users": [whom]}, "user.get", "presence.get", "presence.subscribe", "presence.unsubscribe"),
    }
    return more.get(row, {"user": whom})


def test_every_command_has_its_row() -> None:
    named = {row.split()[0] for rows in (IN_A_GROUP, OF_TWO, TO_A_PERSON) for row in rows}
    assert named | OF_ONES_OWN | OF_SERVICES == DECLARED.keys()
    about_people = {"user", "users", "to", "members", "into", "conversation"}
    for name in OF_ONES_OWN:
        assert not about_people & set(DECLARED[name].shape.__struct_fields__)
    with_a_conversation = {
        name for name, declared in DECLARED.items() if "conversation" in declared.shape.__struct_fields__
    }
    for rows in (IN_A_GROUP, OF_TWO):
        assert {row.split()[0] for row in rows} == with_a_conversation


class Worlds:
    """A world until something succeeds in it that decides what may be done next, and then a new one."""

    def __init__(self, new: Callable[[], Any]) -> None:
        self._new = new
        self._world: Any = None

    @property
    def world(self) -> Any:
        self._world = self._world or self._new()
        return self._world

    def ask(self, way: Callable[..., Heard], who: str, row: str, fields: Callable[[Any], Fields]) -> Heard:
        """What comes of it; a refusal has changed nothing."""
        world = self.world
        kept, turned = world.kept, world.turned
        heard = way(world.chat, who, *asked(row, fields(world)))
        if heard.outcome != "ok":
            assert world.kept == kept
        if world.turned != turned:
            self._world = None
        assert world.chat.failed == []
        return heard


@pytest.fixture(scope="module")
def groups() -> Worlds:
    return Worlds(Standings)


@pytest.fixture(scope="module")
def couples() -> Worlds:
    return Worlds(Couples)


both_ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@both_ways
@pytest.mark.parametrize("row", IN_A_GROUP)
def test_in_a_group(row: str, way: Callable[..., Heard], groups: Worlds) -> None:
    found = {
        who: groups.ask(way, who, row, lambda world, who=who: in_the_group(row, who, world)).outcome
        for who in IN_A_GROUP[row]
    }
    assert found == IN_A_GROUP[row]


SIDES: Mapping[str, tuple[str, str]] = {
    "peer": ("ann", direct("ann", "bea")),
    "blocking": ("ann", direct("ann", "cat")),
    "blocked": ("ann", direct("ann", "dot")),
    "stranger": ("eve", direct("ann", "bea")),
}


@both_ways
@pytest.mark.parametrize("row", OF_TWO)
def test_between_two(row: str, way: Callable[..., Heard], couples: Worlds) -> None:
    found = {
        side: couples.ask(way, who, row, lambda world, place=place: between_two(row, place)).outcome
        for side, (who, place) in SIDES.items()
    }
    assert found == OF_TWO[row]


def shown(row: str, whom: str, heard: Heard) -> str:
    """What is told of a person."""
    if heard.outcome != "ok" or row not in ("user.get", "presence.get", "presence.subscribe"):
        return heard.outcome
    said = str(heard.said)
    return "ok" if whom in said and "offline" not in said else "-"


@pytest.mark.parametrize("row", TO_A_PERSON)
def test_to_a_person(row: str, couples: Worlds) -> None:
    for way in WAYS:
        found = {}
        for whom in TO_A_PERSON[row]:
            heard = couples.ask(way, "ann", row, lambda world, whom=whom: to_a_person(row, whom, world))
            found[whom] = shown(row, whom, heard)
        over_http = way is by_http and row in LIVE
        assert found == (dict.fromkeys(found, "400") if over_http else TO_A_PERSON[row])


@both_ways
def test_only_services_revoke_other_peoples_tokens(way: Callable[..., Heard], couples: Worlds) -> None:
    heard = couples.ask(way, "ann", "token.revoke", lambda world: {"user": "bea"})
    assert heard.outcome == "403"


def test_refusals_are_worded_alike_over_both_transports(groups: Worlds) -> None:
    """Only the envelope differs."""
    for who, row in (("stranger", "message.send"), ("muted", "message.send"), ("member", "member.remove")):
        name, fields = asked(row, in_the_group(row, who, groups.world))
        code, detail, *_ = by_websocket(groups.world.chat, who, name, fields).said
        _, body = by_http(groups.world.chat, who, name, fields).said
        assert f'"code":"{code}"' in body.decode()
        assert f'"detail":"{detail}"' in body.decode()
