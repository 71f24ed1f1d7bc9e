"""Searching in messages.

What is looked for is hashed as words were when they were written, and only what has all of its hashes is opened. So a
search is bounded: in how many conversations it looks at once, how far it goes in them, and how much it opens. Where
that is not enough, its reply says where to go on.
"""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chatd.errors import Disabled, Invalid, NotFound
from chatd.handlers.access import Access
from chatd.handlers.caller import Caller
from chatd.handlers.indexing import hashes
from chatd.handlers.kinds import Reader
from chatd.handlers.messages import MessageId
from chatd.handlers.words import MAX_TERMS, Query, occurrences, parse
from chatd.interfaces.messages import ISearchStore
from chatd.records.search import Finding, FoundAt, Match, Search
from chatd.state.authors import SERVER, Authors
from chatd.state.ids import NIL, message_id
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.types import NO_NUL, ConversationId, Seq, UserId

PROBES: Final = 4096
"""How often a search asks the index, give or take a factor of two."""

OPENED: Final = 100
"""How many messages a search opens to see whether a phrase stands in them."""

Time = Annotated[datetime, Meta(tz=True)]


class SearchMessages(Command, frozen=True, kw_only=True, tag="message.search"):
    """``query``: words and "phrases in quotation marks", all of which must occur.

    Without a ``conversation``, in all of one's own. ``after`` and ``before`` are times between which messages were
    sent. ``cursor`` goes on where another page ended; the other fields are then the same.
    """

    query: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            pattern=NO_NUL,
            description=f"What to look for: at most {MAX_TERMS} words and phrases.",
            examples=["hello"],
        ),
    ]
    conversation: ConversationId | None = None
    sender: UserId | None = None
    after: Time | None = None
    before: Time | None = None
    limit: Annotated[int, Meta(ge=1, le=OPENED, description="How many at most.")] = 20
    cursor: (
        Annotated[
            str,
            Meta(
                max_length=512,
                pattern="^[A-Za-z0-9_-]*$(?!\\n)",
                description="Where the last page ended, as its `next` said.",
            ),
        ]
        | None
    ) = None


class Highlight(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was looked for: code points of the text from ``start`` up to, but not including, ``end``."""

    start: int
    end: int


class FoundMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as it is now. ``highlights`` are in the order of the text and do not overlap."""

    message_id: MessageId
    conversation: ConversationId
    seq: Seq
    time: datetime
    sender: UserId
    text: str
    edited_at: datetime | None = None
    highlights: list[Highlight]


class FoundMessages(Reply, frozen=True, kw_only=True):
    """The newest first. ``next`` is the cursor of the next page, null on the last one.

    A page may hold few messages, or none, and still have a next one.
    """

    messages: list[FoundMessage]
    next: str | None


class _End(msgspec.Struct, frozen=True, array_like=True):
    time: Time
    conversation: ConversationId
    seq: Seq


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Among the conversations after ``behind``, up to ``last`` (None: as many as a search takes), come to ``end``."""

    behind: ConversationId = NIL
    last: ConversationId | None = None
    end: _End | None = None


class _Block(msgspec.Struct, frozen=True):
    """Conversations to look in at once, and whether there are more behind them."""

    conversations: list[str]
    more: bool


class Searching:
    """The command ``message.search``."""

    def __init__(self, store: ISearchStore, access: Access, authors: Authors, reader: Reader, *, enabled: bool) -> None:
        self._store = store
        self._access = access
        self._authors = authors
        self._reader = reader
        self._enabled = enabled

    # Not a GET: what people look for does not belong in the access logs that addresses are written to.
    @command(
        SearchMessages,
        reply=FoundMessages,
        route=Route("POST", "/v1/search"),
        counts_as="search",
        errors=(Invalid, NotFound, Disabled),
        example={"query": 'hello "see you"'},
    )
    async def search(self, caller: Caller, ask: SearchMessages) -> FoundMessages:
        """Search in one's own conversations.

        Whole words are found, in any case, with or without their accents. Each page costs about the same: where
        little is found among much, it ends early and says in ``next`` where to go on. Whether a server offers this is
        a setting; where it does not, the answer is ``disabled``.
        """
        if not self._enabled:
            raise Disabled("Search is turned off on this server.")
        query = parse(ask.query)
        cursor = _Cursor() if ask.cursor is None else _parsed(ask.cursor)
        block = await self._block(caller, ask, cursor, max(1, PROBES // len(query.tokens)))
        finding = await self._find(caller, ask, query, block, cursor.end)
        messages, end = await self._open(finding, query, ask.limit)
        return FoundMessages(messages=messages, next=_next(cursor, block, end))

    async def _block(self, caller: Caller, ask: SearchMessages, cursor: _Cursor, size: int) -> _Block:
        if ask.conversation is not None:
            await self._access.check_reader(ask.conversation, caller.user)
            return _Block([ask.conversation], more=False)
        if cursor.last is not None:
            size *= 2  # There is room for those that the caller has come into since the block was begun.
        ids = await self._store.searchable(caller.user, cursor.behind, size + 1)
        block = [id for id in ids[:size] if cursor.last is None or id <= cursor.last]
        return _Block(block, more=len(block) < len(ids))

    async def _find(
        self, caller: Caller, ask: SearchMessages, query: Query, block: _Block, end: _End | None
    ) -> Finding:
        key = await self._authors.writing(SERVER)
        return await self._store.search(
            Search(
                reader=caller.user,
                tokens={conversation: hashes(key, conversation, query.tokens) for conversation in block.conversations},
                # Where there are no phrases, what has all hashes is what is looked for.
                limit=OPENED if any(len(term) > 1 for term in query.terms) else ask.limit,
                probes=PROBES,
                before=_start(ask.before, end),
                after=ask.after,
                sender=ask.sender,
            )
        )

    async def _open(self, finding: Finding, query: Query, limit: int) -> tuple[list[FoundMessage], FoundAt | None]:
        """What really holds what is looked for, and the place that the search has come to by it."""
        contents = await self._reader.contents([match.edit or match.entry for match in finding.matches])
        messages: list[FoundMessage] = []
        for match, content in zip(finding.matches, contents, strict=True):
            if len(messages) == limit:
                last = messages[-1]
                return messages, FoundAt(time=last.time, conversation=last.conversation, seq=last.seq)
            ranges = occurrences(query, content.text) if content else []
            if ranges:
                highlights = [Highlight(start=one.start, end=one.end) for one in ranges]
                messages.append(_message(match, content.text, highlights))
        return messages, finding.end


def _message(match: Match, text: str, highlights: list[Highlight]) -> FoundMessage:
    entry = match.entry
    return FoundMessage(
        message_id=message_id(entry.conversation, entry.seq),
        conversation=entry.conversation,
        seq=entry.seq,
        time=entry.time,
        sender=entry.author,
        text=text,
        edited_at=None if match.edit is None else match.edit.time,
        highlights=highlights,
    )


def _start(before: datetime | None, end: _End | None) -> FoundAt | None:
    if end is not None:
        return FoundAt(time=end.time, conversation=end.conversation, seq=end.seq)
    return None if before is None else FoundAt(time=before, conversation=NIL, seq=0)


def _next(cursor: _Cursor, block: _Block, end: FoundAt | None) -> str | None:
    """Where to go on: in these conversations, in those behind them, or nowhere."""
    last = block.conversations[-1] if block.conversations else cursor.last
    if end is not None:
        return _encoded(_Cursor(cursor.behind, last, _End(end.time, end.conversation, end.seq)))
    return _encoded(_Cursor(last or cursor.behind)) if block.more else None


_decode = msgspec.msgpack.Decoder(_Cursor).decode


def _encoded(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).decode().rstrip("=")


def _parsed(cursor: str) -> _Cursor:
    try:
        return _decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise Invalid("`cursor` is none that a page of a search ended with.") from None
