"""A world in which the example of every command can really be carried out, and what has to happen first for each.

A new command needs its line in PREPARED, if only an empty one: a test holds that table against the declarations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chatd.edge.schemas import example_fields
from chatd.wire.commands import Declaration
from tests.kit.clients import JSON, Client, HttpClient, Message, Response
from tests.kit.people import Person
from tests.kit.server import Server

CAST = ("alice", "bob", "carol", "dave", "eve")
"""Those whom examples name, and who writes them: alice, unless PREPARED says otherwise."""

SERVICE = "service"
"""The product's own back end, which may do what people may not."""

MUST_READ = 3
"""Where the announcement stands in the group that must be read."""


@dataclass(frozen=True)
class Step:
    """Something that somebody does."""

    who: str
    command: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    in_group: bool = False


@dataclass(frozen=True)
class Setting:
    """Who asks, whether about the group or the direct conversation, what comes first, and what differs."""

    who: str = "alice"
    in_group: bool = False
    first: tuple[Step, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    live: bool = False


def _group(who: str = "alice", *first: Step, **fields: Any) -> Setting:
    return Setting(who=who, in_group=True, first=first, fields=fields)


def _after(command: str, **fields: Any) -> Setting:
    return Setting(first=(Step("alice", command, fields),))


_OPEN = Step("alice", "group.update", {"rules": {"joining": "request"}}, in_group=True)
_ASKED = {who: (_OPEN, Step(who, "join.request", in_group=True)) for who in ("carol", "dave")}
_INVITED = Step("alice", "invitation.send", {"user": "carol"}, in_group=True)
_LIVE = Setting(live=True)

PREPARED: Mapping[str, Setting] = {
    "ack": Setting(),
    "announcement.post": _group(),
    "announcement.read": _group("bob", seq=MUST_READ),
    "announcement.readers": _group(seq=MUST_READ),
    "ban.list": _group(),
    "block.list": Setting(),
    "conversation.archive": Setting(),
    "conversation.get": Setting(),
    "conversation.list": Setting(),
    "conversation.mute": Setting(),
    "conversation.unarchive": _after("conversation.archive"),
    "conversation.unmute": _after("conversation.mute"),
    "device.end": Setting(),
    "device.end_others": Setting(),
    "device.list": Setting(),
    "follower.list": Setting(),
    "following.list": Setting(),
    "group.create": Setting(),
    "group.delete": _group(),
    "group.get": _group(),
    "group.transfer": _group(),
    "group.update": _group(),
    "history.get": Setting(),
    "invitation.accept": _group("carol", _INVITED),
    "invitation.decline": _group("carol", _INVITED),
    "invitation.list": Setting(),
    "invitation.revoke": _group("alice", _INVITED),
    "invitation.send": _group(),
    "join.approve": _group("alice", *_ASKED["dave"]),
    "join.cancel": _group("carol", *_ASKED["carol"]),
    "join.deny": _group("alice", *_ASKED["dave"]),
    "join.list": _group(),
    "join.request": _group("carol", _OPEN),
    "member.add": _group(),
    "member.ban": _group(),
    "member.leave": _group("bob"),
    "member.list": _group(),
    "member.mute": _group(),
    "member.remove": _group(),
    "member.role": _group(),
    "member.unban": _group("alice", Step("alice", "member.ban", {"user": "eve"}, in_group=True)),
    "member.unmute": _group(
        "alice", Step("alice", "member.mute", {"user": "eve", "until": "2999-01-01T00:00:00Z"}, in_group=True)
    ),
    "message.delete": Setting(),
    "message.edit": Setting(),
    "message.forward": Setting(),
    "message.hide": Setting(),
    "message.pin": Setting(),
    "message.receipts": Setting(),
    "message.search": Setting(),
    "message.send": Setting(),
    "message.unpin": _after("message.pin", seq=1),
    "message.versions": Setting(),
    "pin.list": Setting(),
    "ping": Setting(),
    "presence.get": Setting(),
    "presence.set": _LIVE,
    "presence.subscribe": _LIVE,
    "presence.unsubscribe": _LIVE,
    "reaction.add": Setting(),
    "reaction.list": Setting(),
    "reaction.remove": _after("reaction.add", seq=1, emoji="\U0001f44d"),
    "read": Setting(),
    "reading.hide": Setting(),
    "reading.show": _after("reading.hide"),
    "sync": Setting(),
    "thread.get": Setting(),
    "token.revoke": Setting(who=SERVICE),
    "typing.start": Setting(),
    "typing.stop": Setting(),
    "user.block": Setting(),
    "user.follow": Setting(),
    "user.get": Setting(),
    "user.unblock": _after("user.block", user="bob"),
    "user.unfollow": _after("user.follow", user="bob"),
    "user.update": Setting(),
}
"""By command. ``live`` ones are about a connection, and over HTTP they are refused."""


class Prepared:
    """Five people whom the server has never seen, a direct conversation of alice's and bob's, and a group of three.

    In each something was said; each person has one token, whichever way and device they come by.
    """

    def __init__(self, server: Server, person: Callable[..., Person]) -> None:
        self.people = {name: person(name, server) for name in (*CAST, SERVICE)}
        self._server = server
        self._tokens = {name: one.token() for name, one in self.people.items()}
        self._tokens[SERVICE] = self.people[SERVICE].token(scope="chatd:revoke")
        self._steps = 0
        alice = self.http("alice")
        self.direct = self.ok(alice, "messages", to=self.name("bob"), text="hello, see you")["conversation"]
        self.ok(self.http("bob"), "messages", to=self.name("alice"), text="hello yourself")
        members = [self.name("bob"), self.name("eve")]
        self.group = self.ok(alice, "groups", title="ours", members=members)["conversation"]
        self.ok(alice, "messages", conversation=self.group, text="hello all")
        told = self.ok(alice, f"groups/{self.group}/announcements", text="read this", must_read=True)
        assert told["seq"] == MUST_READ

    def name(self, who: str) -> str:
        return self.people[who].name

    def http(self, who: str, *, device: str = "phone") -> HttpClient:
        return HttpClient(self._server.http_url, self._tokens[who], device=device)

    def connect(self, who: str, *, device: str = "phone", subprotocol: str = JSON) -> Client:
        return Client(self._server.url, self._tokens[who], device=device, subprotocol=subprotocol)

    def ok(self, client: HttpClient, path: str, **fields: Any) -> Message:
        """Something that has to succeed, over HTTP, with a ``client_id`` of its own."""
        self._steps += 1
        response = client.post(f"/v1/{path}", client_id=f"before-{self._steps}", **fields)
        assert response.status == 200, response
        return response.body

    def renamed(self, value: Any) -> Any:
        """An example's value, with the names of these people in place of those in it."""
        if isinstance(value, str):
            return self.name(value) if value in self.people else value
        if isinstance(value, list):
            return [self.renamed(one) for one in value]
        return {key: self.renamed(one) for key, one in value.items()} if isinstance(value, dict) else value

    def fields(self, declaration: Declaration) -> dict[str, Any]:
        """The example of a command, about what is there."""
        setting = PREPARED[declaration.name]
        fields = self.renamed(example_fields(declaration) | setting.fields)
        if "conversation" in fields:
            fields["conversation"] = self.group if setting.in_group else self.direct
        return fields

    def prepare(self, declaration: Declaration) -> None:
        """Do what has to come before a command."""
        for step in PREPARED[declaration.name].first:
            fields = self.renamed(dict(step.fields))
            if not step.command.startswith("user."):
                fields["conversation"] = self.group if step.in_group else self.direct
            with self.connect(step.who, device="earlier") as client:
                self._steps += 1
                reply = client.ask(step.command, client_id=f"before-{self._steps}", **fields)
            assert reply["type"] == "ok", (step, reply)

    def ends(self) -> dict[str, int]:
        """Where every log ends that any of these people see, their event queues among them."""
        found: dict[str, int] = {}
        for who in CAST:
            page = self.http(who, device="counting").post("/v1/sync", limit=500).body
            assert not page["more"]
            for event in page["events"]:
                found[event["conversation"]] = max(event["seq"], found.get(event["conversation"], 0))
        return found


def over_http(client: HttpClient, declaration: Declaration, fields: Mapping[str, Any]) -> Response:
    """Ask for a command by its route."""
    path = declaration.route.path.format_map(fields)
    others = {name: value for name, value in fields.items() if f"{{{name}}}" not in declaration.route.path}
    return client.post(path, **others) if declaration.route.method == "POST" else client.get(path, **others)
