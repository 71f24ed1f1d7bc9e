"""Commands that are likely to be carried out, as the model stands: what is made up blindly is mostly refused."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.kit.model import Model
from tests.kit.model_logs import Log

Likely = tuple[str, str, dict[str, Any]]
"""Who asks, for which command, with what."""

EMOJIS = ("\U0001f44d", "\u2764\ufe0f", "\U0001f389", "\U0001f600")
SETTINGS = ("conversation.mute", "conversation.archive", "reading.hide")
UNDOING = {"conversation.mute": "conversation.unmute", "conversation.archive": "conversation.unarchive"}


def likely(model: Model, people: Sequence[str], chance: Random) -> Likely:
    """Something that somebody may well do now."""
    kinds: list[Callable[[Model, Sequence[str], Random], Likely | None]] = [
        *(_say, _say, _revise, _revise, _revise),
        *(_react, _react, _announce, _set, _lead, _lead, _lead, _answer, _answer, _come, _relate),
    ]
    while True:
        found = chance.choice(kinds)(model, people, chance)
        if found is not None:
            return found


def _logs(model: Model) -> list[Log]:
    return [log for log in model.logs.values() if log.kind != "queue" and log.opened and not log.closed]


def _say(model: Model, people: Sequence[str], chance: Random) -> Likely:
    user = chance.choice(people)
    text = f"text {chance.randrange(100)}"
    mine = [log for log in _logs(model) if log.of(user).inside]
    if not mine or chance.random() < 0.2:
        return user, "message.send", {"to": chance.choice(people), "text": text}
    log = chance.choice(mine)
    mentions = chance.sample(sorted(log.members), chance.randrange(len(log.members)))
    fields: dict[str, Any] = {"conversation": log.name, "text": text, "mentions": mentions}
    seen = [seq for seq in log.messages if seq > log.of(user).since]
    if seen and chance.random() < 0.4:
        fields["reply_to"] = chance.choice(seen)
    return user, "message.send", fields


def _message(model: Model, chance: Random) -> tuple[Log, int] | None:
    places = [(log, seq) for log in _logs(model) for seq, message in log.messages.items() if not message.deleted]
    return chance.choice(places) if places else None


def _revise(model: Model, people: Sequence[str], chance: Random) -> Likely | None:
    place = _message(model, chance)
    if place is None:
        return None
    log, seq = place
    fields: dict[str, Any] = {"conversation": log.name, "seq": seq}
    message, reader = log.messages[seq], chance.choice(sorted(log.people))
    match chance.randrange(8):
        case 0 | 1 | 2:
            return message.author, "message.edit", {**fields, "text": f"edited {chance.randrange(100)}"}
        case 3:
            return message.author, "message.delete", fields
        case 4:
            return reader, "message.hide", fields
        case 5:
            return reader, "message.forward", {**fields, "to": chance.choice(people)}
        case _:
            leading = sorted(log.members, key=lambda user: log.of(user).role != "owner")
            return leading[0], "message.unpin" if message.pinned else "message.pin", fields


def _react(model: Model, people: Sequence[str], chance: Random) -> Likely | None:
    place = _message(model, chance)
    if place is None:
        return None
    log, seq = place
    there = list(log.messages[seq].reactions)
    if there and chance.random() < 0.4:
        emoji, user = chance.choice(there)
        return user, "reaction.remove", {"conversation": log.name, "seq": seq, "emoji": emoji}
    user = chance.choice(sorted(log.members))
    return user, "reaction.add", {"conversation": log.name, "seq": seq, "emoji": chance.choice(EMOJIS)}


def _announce(model: Model, people: Sequence[str], chance: Random) -> Likely | None:
    """What must be read is announced, or confirmed."""
    found = _group(model, chance)
    if found is None:
        return None
    log, owner = found
    fields: dict[str, Any] = {"conversation": log.name}
    waiting = [seq for seq, message in log.messages.items() if message.confirmed is not None]
    if waiting and chance.random() < 0.6:
        return chance.choice(sorted(log.members)), "announcement.read", {**fields, "seq": chance.choice(waiting)}
    return owner, "announcement.post", {**fields, "text": f"read this {chance.randrange(100)}", "must_read": True}


def _set(model: Model, people: Sequence[str], chance: Random) -> Likely | None:
    logs = _logs(model)
    if not logs:
        return None
    log = chance.choice(logs)
    user, name = chance.choice(sorted(log.members)), chance.choice(SETTINGS)
    one = log.of(user)
    if {"conversation.mute": one.muted, "conversation.archive": one.archived, "reading.hide": one.private}[name]:
        name = UNDOING.get(name, "reading.show")
    if chance.random() < 0.4:
        return user, "read", {"conversation": log.name, "seq": chance.randrange(log.end + 1)}
    return user, name, {"conversation": log.name}


def _group(model: Model, chance: Random) -> tuple[Log, str] | None:
    """An open group and an owner of it."""
    groups = [log for log in _logs(model) if log.kind == "group"]
    if not groups:
        return None
    log = chance.choice(groups)
    return log, chance.choice([user for user, one in log.members.items() if one.role == "owner"])


def _lead(model: Model, people: Sequence[str], chance: Random) -> Likely | None:
    """What an owner does to others."""
    found = _group(model, chance)
    if found is None:
        return None
    log, owner = found
    user = chance.choice([one for one in people if one != owner])
    fields: dict[str, Any] = {"conversation": log.name}
    if log.of(user).kind == "banned":
        return owner, "member.unban", {**fields, "user": user}
    if not log.of(user).inside:
        if chance.random() < 0.5:
            return owner, "member.add", {**fields, "users": [user]}
        return owner, "invitation.send", {**fields, "user": user}
    role = chance.choice(["member", "admin", "admin", "owner"])
    choices: list[tuple[str, dict[str, Any]]] = [
        ("member.role", {"user": user, "role": role}),
        ("member.role", {"user": user, "role": role}),
        ("member.remove", {"user": user}),
        ("member.ban", {"user": user}),
        ("group.transfer", {"user": user}),
        ("group.update", {"title": f"title {chance.randrange(100)}"}),
        ("group.update", {"rules": {"joining": chance.choice(["request", "open", "invitation"])}}),
    ]
    name, more = chance.choice(choices)
    return owner, name, {**fields, **more}


def _answer(model: Model, people: Sequence[str], chance: Random) -> Likely | None:
    """What becomes of an invitation or a request."""
    waiting = [
        (log, user, one.kind)
        for log in _logs(model)
        for user, one in sorted(log.people.items())
        if one.kind in ("invited", "asking")
    ]
    if not waiting:
        return None
    log, user, kind = chance.choice(waiting)
    fields = {"conversation": log.name}
    owner = next(member for member, one in log.members.items() if one.role == "owner")
    own = {"invited": ["invitation.accept", "invitation.decline"], "asking": ["join.cancel"]}[kind]
    theirs = {"invited": ["invitation.revoke"], "asking": ["join.approve", "join.approve", "join.deny"]}[kind]
    name = chance.choice([*own, *theirs])
    return (user, name, fields) if name in own else (owner, name, {**fields, "user": user})


def _come(model: Model, people: Sequence[str], chance: Random) -> Likely | None:
    found = _group(model, chance)
    if found is None:
        return None
    log, user = found[0], chance.choice(people)
    return user, "member.leave" if log.of(user).inside else "join.request", {"conversation": log.name}


def _relate(model: Model, people: Sequence[str], chance: Random) -> Likely:
    user, other = chance.sample(people, 2)
    if (user, other) in model.blocks:
        return user, "user.unblock", {"user": other}
    if (user, other) in model.follows and chance.random() < 0.5:
        return user, "user.unfollow", {"user": other}
    return user, chance.choice(["user.follow", "user.follow", "user.block"]), {"user": other}
