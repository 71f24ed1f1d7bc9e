"""What stands in a log, and how it is shown again.

Each kind of entry is declared beside the commands that write it: the content that is sealed, and the event that
tells it. Where the content cannot be opened (a key destroyed, a bit flipped, a row moved), the event says so.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from chatd.records.logs import Draft, Entry, Revision
from chatd.records.rosters import Roster
from chatd.security.sealing import AuthorKey, Unreadable
from chatd.state.authors import Authors
from chatd.wire.events import LogEvent


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what is sealed. Fields are only ever added, each with a default, so that old rows can be read."""


class NoContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Sealed where a change is all there is to say."""


@dataclass(frozen=True)
class Kind:
    """One kind of entry. ``event`` makes its event from the entry and its content, None where that is unreadable."""

    name: str
    content: type[Content]
    event: Callable[[Entry, Any], LogEvent]


def told_as(event: Callable[..., LogEvent], *, author: str | None = "by") -> Callable[[Entry, Any], LogEvent]:
    """How an entry is told by an event with the fields of its content, and with its author under that name, if any."""

    def tell(entry: Entry, content: Content | None) -> LogEvent:
        said: dict[str, Any] = {"unreadable": True} if content is None else msgspec.structs.asdict(content)
        if author is not None:
            said[author] = entry.author
        return event(conversation=entry.conversation, seq=entry.seq, time=entry.time, **said)

    return tell


class EntryUnknown(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="entry.unknown"):
    """An entry that this server cannot show, since a newer one wrote it. Its place counts like any other's."""

    kind: str


def _unknown(entry: Entry, content: None) -> LogEvent:
    return EntryUnknown(conversation=entry.conversation, seq=entry.seq, time=entry.time, kind=entry.kind)


UNKNOWN = Kind("", Content, _unknown)

# Equal content has equal bytes, in whatever order a client wrote it: the digest is taken of them.
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def draft(
    kind: Kind,
    content: Content,
    *,
    author: str,
    client_id: str,
    key: AuthorKey,
    roster: Roster,
    asked: Content | None = None,
    **more: Any,
) -> Draft:
    """Seal ``content`` for its place in the log that ``roster`` is of.

    The digest covers the kind and the conversation too: they are part of the ask.

    ``asked`` is the whole ask, its command and conversation included, where the rest may come out otherwise for a
    repeat. ``more`` are the draft's other fields; a revision's target is part of the ask as well.
    """
    plaintext, conversation = _encode(content), roster.conversation
    ask = b"%b\0%b\0%b" % (_named(kind, more.get("revision")), conversation.encode(), plaintext)
    if asked is not None:
        ask = b"\0%b" % _encode(asked)
    return Draft(
        conversation=conversation,
        author=author,
        client_id=client_id,
        digest=key.digest(ask),
        kind=kind.name,
        sealed=key.seal(plaintext, conversation, client_id),
        roster=roster,
        content=content,
        **more,
    )


def _named(kind: Kind, revision: Revision | None) -> bytes:
    return (kind.name if revision is None else f"{kind.name} {revision.target}").encode()


class Reader:
    """Opens entries. ``unreadable`` is told of each that cannot be, so that it is counted and logged.

    It is not told of those whose author's key was destroyed: they are erased, as somebody wished.
    """

    def __init__(self, kinds: Iterable[Kind], authors: Authors, unreadable: Callable[[Entry, str], None]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._decoders = {name: msgspec.msgpack.Decoder(kind.content).decode for name, kind in self._kinds.items()}
        self._authors = authors
        self._unreadable = unreadable

    def event(self, entry: Entry, content: Any) -> LogEvent:
        """The event of an entry whose content is at hand."""
        return self._kinds.get(entry.kind, UNKNOWN).event(entry, content)

    async def contents(self, entries: Sequence[Entry]) -> list[Any]:
        """The contents of these entries, in their order, with None for what cannot be read or is withheld."""
        keys = await self._authors.reading({entry.author for entry in entries})
        failures: list[tuple[Entry, str]] = []
        contents = [self._open(entry, keys.get(entry.author), failures) for entry in entries]
        if failures:
            erased = await self._authors.erased([entry for entry, _ in failures])
            for (entry, reason), wished in zip(failures, erased, strict=True):
                if not wished:
                    self._unreadable(entry, reason)
        return contents

    async def events(self, entries: Sequence[Entry]) -> list[LogEvent]:
        """The events of these entries, in their order."""
        contents = await self.contents(entries)
        return [self.event(entry, content) for entry, content in zip(entries, contents, strict=True)]

    def opened(self, entry: Entry) -> Any:
        """The content of an entry that came from elsewhere, if it opens with a key that is at hand; else None.

        Nothing is counted: whether it is unreadable only the log can say.
        """
        key, decode = self._authors.known(entry.author), self._decoders.get(entry.kind)
        if key is None or decode is None:
            return None
        try:
            return decode(key.unseal(entry.sealed, entry.conversation, entry.client_id))
        except (Unreadable, msgspec.DecodeError):
            return None

    def _open(self, entry: Entry, key: AuthorKey | Unreadable | None, failures: list[tuple[Entry, str]]) -> Any:
        if entry.withheld:
            return None
        decode = self._decoders.get(entry.kind)
        if decode is None:
            failures.append((entry, f"entries of kind {entry.kind} are not known here"))
            return None
        if not isinstance(key, AuthorKey):
            failures.append((entry, f"the author's key: {key}" if key else "the author has no key, or no longer"))
            return None
        try:
            return decode(key.unseal(entry.sealed, entry.conversation, entry.client_id))
        except (Unreadable, msgspec.DecodeError) as error:
            failures.append((entry, str(error)))
            return None
