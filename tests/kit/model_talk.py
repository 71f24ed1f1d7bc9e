"""The rules of messages, of what people have of conversations, and of how people stand to each other."""

import re
from datetime import datetime
from typing import Any

from tests.kit.model_logs import Change, Log, Message, Refused, Standing

RANKS = ("member", "admin", "owner")


def words(text: str) -> list[str]:
    """The words of the texts that are written here, as they are looked for."""
    return re.findall("[a-z0-9]+|\U0001f600", text.replace("\u00e9", "e"))


class Talk:
    """People, what they say to each other, and what they have of it. See :class:`tests.kit.model.Model`."""

    def __init__(self, now: datetime, *, max_reactions: int, max_emojis: int, invitation: Any, edit: Any) -> None:
        self.now = now
        self.logs: dict[str, Log] = {}
        self.blocks: set[tuple[str, str]] = set()
        self.follows: set[tuple[str, str]] = set()
        self.times: dict[tuple[str, int], datetime] = {}
        self._moves = 0
        self._max_reactions = max_reactions
        self._max_emojis = max_emojis
        self._invitation = invitation
        self._edit = edit

    # -- what there is --

    def queue(self, user: str) -> Log:
        name = f"queue of {user}"
        if name not in self.logs:
            self.logs[name] = Log(name, "queue", people={user: Standing("member", until=None)})
        return self.logs[name]

    def apart(self, one: str, other: str) -> bool:
        return (one, other) in self.blocks or (other, one) in self.blocks

    def listed(self, user: str, *, archived: bool) -> list[str]:
        """The names of somebody's conversations, the latest first."""
        found = [
            log
            for log in self.logs.values()
            if log.kind != "queue" and log.changes and log.of(user).inside and log.of(user).archived is archived
        ]
        return [log.name for log in sorted(found, key=lambda log: -log.moved)]

    def _log(self, name: str, user: str) -> Log:
        """A log that somebody is a member of."""
        log = self.logs.get(name)
        if log is None or not log.opened or not log.of(user).inside:
            raise Refused("not_found")
        return log

    def _write(self, log: Log, change: Change) -> tuple[str, int]:
        self._moves += 1
        log.moved = self._moves
        log.changes.append(change)
        return log.name, log.end

    def _tell(self, user: str, kind: str, by: str) -> None:
        if user != by:
            self._write(self.queue(user), Change(kind, by))

    # -- messages --

    def _direct(self, user: str, other: str) -> Log:
        """Their conversation, opened if need be."""
        name = "+".join(sorted((user, other)))
        log = self.logs.get(name)
        if log is None or not log.opened:
            if self.apart(user, other):
                raise Refused("forbidden")
            people = {one: Standing("member", until=None) for one in (user, other)}
            log = self.logs[name] = Log(name, "direct", people=people)
            for one in {user, other}:
                self._write(self.queue(one), Change("conversation.created", user))
        return log

    def _check_apart(self, log: Log) -> None:
        if log.kind == "direct" and self.apart(*log.name.split("+")):
            raise Refused("forbidden")

    def _check_right(self, log: Log, user: str, least: str) -> None:
        """Somebody who is a member has to have at least this role, where there are roles."""
        if log.kind != "group":
            return
        if log.closed or RANKS.index(log.of(user).role) < RANKS.index(least):
            raise Refused("forbidden")

    def _check_speaks(self, log: Log, user: str, least: str = "member") -> None:
        self._check_right(log, user, least)
        until = log.of(user).muted_until
        if log.kind == "group" and until is not None and self.now < until:
            raise Refused("forbidden")

    def _check_mentions(self, log: Log, mentions: list[str]) -> None:
        if not all(log.of(user).inside for user in mentions):
            raise Refused("invalid")

    def _say(self, log: Log, user: str, text: str, mentions: list[str], **more: Any) -> tuple[str, int]:
        place = self._write(log, Change("message.created", user, text))
        log.messages[log.end] = Message(log.end, user, {log.end: (text, tuple(mentions))}, **more)
        for one in log.people.values():
            if not one.quiet(self.now):
                one.archived = False
        return place

    def message_send(
        self,
        user: str,
        text: str,
        to: str | None = None,
        conversation: str | None = None,
        reply_to: int | None = None,
        mentions: list[str] | None = None,
        forwarded_from: str | None = None,
    ) -> tuple[str, int]:
        if (to is None) is (conversation is None):
            raise Refused("invalid")
        mentions = list(dict.fromkeys(mentions or []))
        log = self._direct(user, to) if to is not None else self._log(str(conversation), user)
        if log.kind == "queue":
            raise Refused("forbidden")
        if reply_to is not None and not self._reaches(log, user, reply_to):
            raise Refused("not_found")
        self._check_speaks(log, user, log.rules.get("posting", "member"))
        self._check_apart(log)
        self._check_mentions(log, mentions)
        thread = None
        if reply_to is not None:
            if reply_to not in log.messages:
                raise Refused("not_found")
            thread = log.messages[reply_to].thread or reply_to
        return self._say(log, user, text, mentions, reply_to=reply_to, thread=thread, forwarded_from=forwarded_from)

    def _reaches(self, log: Log, user: str, seq: int) -> bool:
        """Whether a place is not behind where somebody came in."""
        return seq > log.range(user, history=True)[0]

    def announcement_post(self, user: str, conversation: str, text: str, must_read: bool = False) -> tuple[str, int]:
        log = self._group(conversation, user)
        self._check_speaks(log, user, "admin")
        return self._say(log, user, text, [], confirmed=set() if must_read else None)

    def announcement_read(self, user: str, conversation: str, seq: int) -> None:
        log = self._log(conversation, user)
        message = log.messages.get(seq)
        if message is None or message.confirmed is None or message.deleted or not self._reaches(log, user, seq):
            raise Refused("not_found")
        message.confirmed.add(user)

    def message_forward(
        self, user: str, conversation: str, seq: int, to: str | None = None, into: str | None = None
    ) -> tuple[str, int]:
        if (to is None) is (into is None):
            raise Refused("invalid")
        source = self.seen(user, conversation, seq)
        if source is None or source.deleted or user in source.hidden_from:
            raise Refused("not_found")
        high = self.logs[conversation].range(user)[1]
        author = source.origin(high) or source.author
        return self.message_send(user, source.latest(high)[0], to, into, forwarded_from=author)

    def found(self, user: str, word: str) -> set[tuple[str, int]]:
        """Where messages stand that hold a word, as somebody finds them; not what was edited after they had left."""
        return {
            (log.name, seq)
            for log in self.logs.values()
            if log.kind != "queue" and log.reads(user)
            for seq, message in log.messages.items()
            if log.sees(user, seq) and not message.deleted and user not in message.hidden_from
            if message.settled(high := log.range(user)[1]) and word in words(message.latest(high)[0])
        }

    def seen(self, user: str, conversation: str, seq: int) -> Message | None:
        """A message that somebody may see."""
        log = self.logs.get(conversation)
        return log.messages.get(seq) if log is not None and log.sees(user, seq) else None

    def _alterable(self, user: str, conversation: str, seq: int) -> Log:
        log = self._log(conversation, user)
        if not self._reaches(log, user, seq):
            raise Refused("not_found")
        self._check_apart(log)
        return log

    def _standing_message(self, log: Log, seq: int) -> Message:
        message = log.messages.get(seq)
        if message is None or message.deleted:
            raise Refused("not_found")
        return message

    def message_edit(
        self, user: str, conversation: str, seq: int, text: str, mentions: list[str] | None = None
    ) -> tuple[str, int]:
        log = self._alterable(user, conversation, seq)
        self._check_speaks(log, user, log.rules.get("posting", "member"))
        mentions = list(dict.fromkeys(mentions or []))
        self._check_mentions(log, mentions)
        message = self._standing_message(log, seq)
        if message.author != user or self.times[conversation, seq] < self.now - self._edit:
            raise Refused("forbidden")
        place = self._write(log, Change("message.edited", user, text, seq))
        message.versions[log.end] = text, tuple(mentions)
        return place

    def message_delete(self, user: str, conversation: str, seq: int) -> tuple[str, int]:
        log = self._alterable(user, conversation, seq)
        there = log.messages.get(seq)
        anothers = there is not None and there.author != user
        self._check_right(log, user, "admin" if anothers else "member")
        message = self._standing_message(log, seq)
        if anothers and log.kind != "group":
            raise Refused("forbidden")
        message.deleted, message.pinned = True, None
        message.reactions.clear()
        return self._write(log, Change("message.deleted", user, target=seq))

    def message_hide(self, user: str, conversation: str, seq: int) -> tuple[str, int]:
        message = self.seen(user, conversation, seq)
        if message is None:
            raise Refused("not_found")
        if user in message.hidden_from:
            raise Refused("unchanged")
        message.hidden_from.add(user)
        return self._write(self.queue(user), Change("message.hidden", user, conversation, seq))

    def _pinning(self, user: str, conversation: str, seq: int, pinned: bool) -> tuple[str, int]:
        log = self._alterable(user, conversation, seq)
        self._check_right(log, user, log.rules.get("editing", "member"))
        message = self._standing_message(log, seq)
        if (message.pinned is not None) is pinned:
            raise Refused("unchanged")
        place = self._write(log, Change("message.pinned" if pinned else "message.unpinned", user, target=seq))
        message.pinned = log.end if pinned else None
        return place

    def message_pin(self, user: str, conversation: str, seq: int) -> tuple[str, int]:
        return self._pinning(user, conversation, seq, True)

    def message_unpin(self, user: str, conversation: str, seq: int) -> tuple[str, int]:
        return self._pinning(user, conversation, seq, False)

    def _reactable(self, user: str, conversation: str, seq: int, emoji: str) -> tuple[Log, Message]:
        if emoji.isascii():
            raise Refused("invalid")
        log = self._alterable(user, conversation, seq)
        self._check_speaks(log, user)
        return log, self._standing_message(log, seq)

    def reaction_add(self, user: str, conversation: str, seq: int, emoji: str) -> tuple[str, int]:
        log, message = self._reactable(user, conversation, seq, emoji)
        if (emoji, user) in message.reactions:
            raise Refused("unchanged")
        own = sum(who == user for _, who in message.reactions)
        there = {one for one, _ in message.reactions}
        if own >= self._max_reactions or (emoji not in there and len(there) >= self._max_emojis):
            raise Refused("forbidden")
        message.reactions[emoji, user] = log.end + 1
        return self._write(log, Change("reaction.added", user, emoji, seq))

    def reaction_remove(self, user: str, conversation: str, seq: int, emoji: str) -> tuple[str, int]:
        log, message = self._reactable(user, conversation, seq, emoji)
        if message.reactions.pop((emoji, user), None) is None:
            raise Refused("unchanged")
        return self._write(log, Change("reaction.removed", user, emoji, seq))

    # -- what people have of conversations --

    def ack(self, user: str, conversation: str, seq: int) -> None:
        log = self.logs.get(conversation)
        if log is None or not log.reads(user):
            raise Refused("not_found")
        if seq > log.range(user)[1]:
            raise Refused("invalid")
        log.of(user).delivered = max(log.of(user).delivered, seq)

    def read(self, user: str, conversation: str, seq: int, private: bool = False) -> None:
        log = self._log(conversation, user)
        if seq > log.end:
            raise Refused("invalid")
        one = log.of(user)
        one.read, one.delivered = max(one.read, seq), max(one.delivered, seq)
        if not private and not one.private:
            one.shown = max(one.shown, seq)

    def _own(self, user: str, conversation: str) -> Standing:
        """How somebody stands to a conversation that they may set something of."""
        log = self._log(conversation, user)
        if log.kind == "queue":
            raise Refused("invalid")
        return log.of(user)

    def _set(self, user: str, conversation: str, name: str, value: bool, kind: str) -> tuple[str, int]:
        one = self._own(user, conversation)
        if getattr(one, name) is value:
            raise Refused("unchanged")
        setattr(one, name, value)
        return self._write(self.queue(user), Change(kind, user, conversation))

    def conversation_mute(self, user: str, conversation: str, until: datetime | None = None) -> tuple[str, int]:
        one = self._own(user, conversation)
        if until is not None and until <= self.now:
            raise Refused("invalid")
        one.muted, one.quiet_until = True, until
        return self._write(self.queue(user), Change("conversation.muted", user, conversation))

    def conversation_unmute(self, user: str, conversation: str) -> tuple[str, int]:
        one = self._own(user, conversation)
        if not one.quiet(self.now):
            raise Refused("unchanged")
        one.muted, one.quiet_until = False, None
        return self._write(self.queue(user), Change("conversation.unmuted", user, conversation))

    def conversation_archive(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "archived", True, "conversation.archived")

    def conversation_unarchive(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "archived", False, "conversation.unarchived")

    def reading_hide(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "private", True, "reading.hidden")

    def reading_show(self, user: str, conversation: str) -> tuple[str, int]:
        return self._set(user, conversation, "private", False, "reading.shown")

    # -- people --

    def _relate(self, user: str, other: str, kind: str, ties: set[tuple[str, str]], there: bool) -> tuple[str, int]:
        if ((user, other) in ties) is there:
            raise Refused("unchanged")
        (ties.add if there else ties.discard)((user, other))
        return self._write(self.queue(user), Change(kind, user, other))

    def _check_other(self, user: str, other: str) -> None:
        if user == other:
            raise Refused("invalid")

    def user_follow(self, by: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        if self.apart(by, user):
            raise Refused("forbidden")
        place = self._relate(by, user, "following.added", self.follows, True)
        self._tell(user, "user.followed", by)
        return place

    def user_unfollow(self, by: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        return self._relate(by, user, "following.removed", self.follows, False)

    def user_block(self, by: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        place = self._relate(by, user, "block.added", self.blocks, True)
        self.follows -= {(by, user), (user, by)}
        return place

    def user_unblock(self, by: str, user: str) -> tuple[str, int]:
        self._check_other(by, user)
        return self._relate(by, user, "block.removed", self.blocks, False)
