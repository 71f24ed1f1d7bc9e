"""Reindexing: what was written while search was off is found too, while people write, edit and delete."""

from typing import Final

from chatd.ctl.terminal import Shown
from chatd.handlers.indexing import hashes
from chatd.handlers.kinds import Reader
from chatd.handlers.messages import MessageContent
from chatd.handlers.words import tokens
from chatd.security.sealing import AuthorKey
from chatd.state.authors import Authors
from chatd.state.ids import NIL
from chatd.store.reindexing import Indexed, PostgresReindexing

PAGE: Final = 500
"""Conversations that are read at a time."""
STEP: Final = 200
"""Places of a conversation that are looked at, and indexed in one transaction."""


class Reindexing:
    """Gives messages the tokens that they lack: of each at most ``max_tokens``, made under ``key``, the server's.

    ``reader`` reads with the keys of ``authors``. All that this goes by stands in the rows, so another one goes on
    where this one ended.
    """

    def __init__(
        self,
        store: PostgresReindexing,
        authors: Authors,
        reader: Reader,
        key: AuthorKey,
        max_tokens: int,
        shown: Shown,
    ) -> None:
        self._store = store
        self._authors = authors
        self._reader = reader
        self._key = key
        self._max_tokens = max_tokens
        self._shown = shown

    async def run(self) -> int:
        """Index what is not; how many messages were. What cannot be opened ``reader`` has been told of."""
        after, total = NIL, await self._store.total(NIL)
        indexed = seen = 0
        while page := await self._store.conversations(after, PAGE):
            for conversation, last in page:
                for low in range(0, last, STEP):
                    high = min(low + STEP, last)
                    indexed += await self._index(conversation, low, high)
                    seen += high - low
                    self._shown(seen, max(total, seen))
            after = page[-1][0]
        return indexed

    async def _index(self, conversation: str, low: int, high: int) -> int:
        matches = await self._store.unindexed(conversation, low, high)
        entries = [match.edit or match.entry for match in matches]
        for author in {entry.author for entry in entries}:
            # Keys are read anew each time: what is opened with one that was destroyed meanwhile must not be indexed.
            self._authors.forget(author)
        contents = await self._reader.contents(entries)
        messages = [
            Indexed(
                seq=match.entry.seq,
                at=match.entry.time,
                edited=match.edit.seq if match.edit else None,
                tokens=hashes(self._key, conversation, tokens(content.text, self._max_tokens)),
            )
            for match, content in zip(matches, contents, strict=True)
            if isinstance(content, MessageContent)
        ]
        return await self._store.index(conversation, messages) if messages else 0
