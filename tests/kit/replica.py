"""What a client makes of the events that it gets: each log in order, and the state that follows from it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


def kind_of(event: Any) -> str:
    return str(event.__struct_config__.tag)


def target_of(event: Any) -> int:
    """Where the message stands that an event is about."""
    return int(event.message_id.rpartition(".")[2])


@dataclass
class Told:
    """A message as events tell of it; without text where that is gone."""

    text: str
    deleted: bool = False
    hidden: bool = False
    pinned: bool = False
    reactions: dict[str, set[str]] = field(default_factory=dict)


@dataclass
class Replica:
    """One log as events tell of it."""

    messages: dict[int, Told] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    title: str = ""

    def take(self, event: Any) -> None:
        """Go on by one event."""
        kind = kind_of(event)
        if kind == "message.created":
            self.messages[event.seq] = Told(event.text, event.deleted, event.hidden)
        elif kind.startswith(("message.", "reaction.")):
            message = self.messages.get(target_of(event))
            if message is not None:
                self._change(message, kind, event)
        else:
            self._people(kind, event)

    def _change(self, message: Told, kind: str, event: Any) -> None:
        if kind == "message.edited":
            message.text = event.text
        elif kind == "message.deleted":
            message.text, message.deleted, message.pinned = "", True, False
            message.reactions.clear()
        elif kind in ("message.pinned", "message.unpinned"):
            message.pinned = kind == "message.pinned" and not message.deleted
        elif not event.deleted and not message.deleted:
            who = message.reactions.setdefault(event.emoji, set())
            (who.add if kind == "reaction.added" else who.discard)(event.by)

    def _people(self, kind: str, event: Any) -> None:
        if kind in ("group.created", "group.updated"):
            self.title = event.title
        if kind == "group.created":
            self.roles = {**dict.fromkeys(event.members, "member"), event.by: "owner"}
        elif kind == "member.added":
            self.roles = {**dict.fromkeys(event.users, "member"), **self.roles}
        elif kind == "member.joined":
            self.roles[event.user] = "member"
        elif kind in ("member.left", "member.removed", "member.banned"):
            self.roles.pop(event.user, None)
        elif kind == "member.role_changed":
            self.roles[event.user] = event.role
        elif kind == "group.transferred":
            self.roles.update({event.by: "admin", event.user: "owner"})


def replica(events: Iterable[Any], hidden: Iterable[int]) -> Replica:
    """The state after these events of one log, of which these messages were hidden."""
    made = Replica()
    for event in events:
        made.take(event)
    for seq in hidden:
        if seq in made.messages:
            made.messages[seq].hidden = True
    return made


def hidden_in(queue: Iterable[Any], conversation: str) -> set[int]:
    """Which messages of a conversation a person's event queue says that they have hidden."""
    found = (event.message for event in queue if kind_of(event) == "message.hidden")
    return {message.seq for message in found if message.conversation == conversation}
