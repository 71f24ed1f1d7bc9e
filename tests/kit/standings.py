"""People who stand to a group, to a conversation of two and to one another in every way that there is, in memory.

Each asks for things over both transports: through the router as a WebSocket does, and over HTTP by the command's route.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from twisted.internet.defer import Deferred

from chatd.handlers.assembly import Stores
from chatd.handlers.catalogue import DECLARATIONS
from chatd.settings.model import Search
from chatd.state.ids import direct, event_queue
from chatd.wire.commands import Command, Declaration, Reply
from tests.kit.groups import act, found
from tests.kit.stores import new_client_id
from tests.kit.visitor import UNLIMITED, Answer, settings
from tests.kit.visitor import World as Site
from tests.kit.world import Chat

DECLARED: Mapping[str, Declaration] = {declaration.name: declaration for declaration in DECLARATIONS}
UNTIL = "2999-01-01T00:00:00Z"
THUMB, HEART = "\U0001f44d", "\u2764\ufe0f"

MEMBERS = ("owner", "admin", "member", "muted")
FORMER = ("left", "removed", "banned")
ASIDE = ("invited", "asking", "stranger")
"""How somebody stands to the group is what they are called."""


class _Way:
    """The router of whichever chat is asked, for a site that is made once."""

    def __init__(self) -> None:
        self.chat: Chat | None = None
        self.declarations = list(DECLARATIONS)

    def dispatch(self, caller: Any, command: Command) -> Deferred[Reply]:
        assert self.chat is not None
        return self.chat.router.dispatch(caller, command)


_WAY = _Way()
_SITE = Site(router=_WAY, settings=settings(rates=UNLIMITED))


@dataclass(frozen=True)
class Heard:
    """What came of a command: ``ok`` or a status, over either transport, and all that was said."""

    outcome: str
    said: Any


def by_websocket(chat: Chat, user: str, name: str, fields: Mapping[str, Any]) -> Heard:
    """Ask on a connection."""
    connection = chat.connect(user, synced=False)
    try:
        return Heard("ok", connection.ask(name, **fields))
    except DECLARED[name].errors as error:
        return Heard(str(error.status), (error.code, error.detail, error.retryable, error.retry_after_ms))
    finally:
        connection.hang_up()


def by_http(chat: Chat, user: str, name: str, fields: Mapping[str, Any]) -> Heard:
    """Ask by the command's route."""
    answer = answered(chat, user, name, fields)
    if answer.status == 200:
        return Heard("ok", answer.body)
    body = json.loads(answer.body)
    assert (answer.headers["Content-Type"], body["status"]) == ("application/problem+json", answer.status)
    told = [(header, value) for header, value in answer.headers.items() if header not in ("Date", "X-Request-Id")]
    return Heard(str(answer.status), (told, answer.body))


def answered(chat: Chat, user: str, name: str, fields: Mapping[str, Any]) -> Answer:
    """The whole response to a command."""
    _WAY.chat = chat
    route = DECLARED[name].route
    path = route.path.format_map({field: quote(str(value), safe="") for field, value in fields.items()})
    others = {field: value for field, value in fields.items() if f"{{{field}}}" not in route.path}
    token = f"Bearer token-of-{user}"
    if route.method == "POST":
        return _SITE.ask("POST", path, others, Authorization=token, Chatd_Device="phone")
    query = f"?{urlencode(others)}" if others else ""
    return _SITE.ask("GET", path + query, Authorization=token, Chatd_Device="phone")


WAYS: tuple[Callable[[Chat, str, str, Mapping[str, Any]], Heard], ...] = (by_websocket, by_http)


class _World:
    """What can be asked about, and what a change could have changed."""

    def __init__(self, stores: Stores | None = None) -> None:
        self.chat = Chat(search=Search(enabled=True), stores=stores)

    def do(self, who: str, command: str, /, **fields: Any) -> Any:
        """Something that has to succeed, under a ``client_id`` of its own."""
        return self.chat.http(who).ask(command, client_id=new_client_id(), **fields)

    @property
    def kept(self) -> Mapping[str, Any]:
        """All that there is in logs, and how everybody stands to them."""
        logs = self.chat.database.logs
        return {name: (len(log.entries), dict(log.people), dict(log.marks), log.roster) for name, log in logs.items()}

    @property
    def turned(self) -> Mapping[str, Any]:
        """What decides of what may be done next."""
        database = self.chat.database
        return {
            "logs": {name: (log.roster, dict(log.states)) for name, log in database.logs.items()},
            "ties": (dict(database.people.follows), dict(database.people.blocks)),
            "reactions": {place: dict(reacted) for place, reacted in database.reactions.items()},
            "of one's own": (set(database.hidden), repr(database.personal)),
        }


class Standings(_World):
    """A group around which everybody stands as they are called.

    ``said`` is where a message of somebody else's stands, ``other``'s, ``own`` where that of each member does, former
    ones included; ``pinned`` and ``announced`` are such places too, and ``later`` is what was said when the former
    members had gone. ``hushed`` is one more who is muted, ``outlaw`` who is banned, ``guest`` who is invited,
    ``applicant`` who asks to be let in.
    """

    def __init__(self, *, stores: Stores | None = None, joining: str = "request") -> None:
        super().__init__(stores)
        ask = self.chat.http
        owner, everybody = ask("owner"), (*MEMBERS, *FORMER)
        self.group = found(owner, *everybody[1:], "other", "hushed", rules={"joining": joining})
        act(owner, "member.role", self.group, user="admin", role="admin")
        self.said = ask("other").send("words", conversation=self.group).seq
        self.own = {user: ask(user).send("mine", conversation=self.group).seq for user in everybody}
        for user in everybody:
            act(ask(user), "reaction.add", self.group, seq=self.said, emoji=THUMB)
        self.pinned = ask("other").send("a pin", conversation=self.group).seq
        act(owner, "message.pin", self.group, seq=self.pinned)
        self.announced = act(owner, "announcement.post", self.group, text="hear", must_read=True).seq
        for user in ("muted", "hushed"):
            act(owner, "member.mute", self.group, user=user, until=UNTIL)
        act(ask("left"), "member.leave", self.group)
        act(owner, "member.remove", self.group, user="removed")
        for user in ("banned", "outlaw"):
            act(owner, "member.ban", self.group, user=user)
        for user in ("invited", "guest"):
            act(owner, "invitation.send", self.group, user=user)
        if joining != "invitation":
            for user in ("asking", "applicant"):
                act(ask(user), "join.request", self.group)
        self.later = ask("other").send("later", conversation=self.group).seq


class Couples(_World):
    """``ann`` writes with ``bea``, blocks ``cat``, is blocked by ``dot``; ``eve`` she has nothing to do with.

    In each conversation a message of both stands, the other's pinned, with a reaction of ann's. All of them are online.
    ``group`` is one of ann's own.
    """

    def __init__(self, stores: Stores | None = None) -> None:
        super().__init__(stores)
        for other in ("bea", "cat", "dot"):
            self.chat.http("ann").send("mine", to=other)
            self.chat.http(other).send("words", to="ann")
            self.do("ann", "message.pin", conversation=direct("ann", other), seq=2)
            self.do("ann", "reaction.add", conversation=direct("ann", other), seq=2, emoji=THUMB)
        for person in ("bea", "cat", "dot", "eve"):
            self.do(person, "user.update", name=person)
            self.chat.connect(person, "screen")
        self.group = found(self.chat.http("ann"))
        self.do("ann", "user.block", user="cat")
        self.do("dot", "user.block", user="ann")
        self.chat.pass_time(2.5)


def foreign(group: str, chat: Chat, stranger: str, blocker: str) -> Mapping[str, str]:
    """Conversations that are none of ``stranger``'s, and one that is not there at all.

    Nothing was ever said between the two: there is their conversation only since one blocks the other.
    """
    chat.http(blocker).ask("user.block", client_id=new_client_id(), user=stranger)
    chat.http("owner").send("hi", to="other")
    return {
        "absent": str(uuid4()),
        "a group": group,
        "of two": direct("owner", "other"),
        "a queue": event_queue("owner"),
        "a block": direct(stranger, blocker),
    }
