"""What messages are found by: keyed hashes of their words, made when they are written."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from chatd.handlers.messages import MessageContent
from chatd.handlers.words import tokens
from chatd.records.logs import Draft
from chatd.security.sealing import AuthorKey
from chatd.state.authors import SERVER, Authors

HASH_BYTES: Final = 8


def hashes(key: AuthorKey, conversation: str, words: Iterable[str]) -> tuple[int, ...]:
    """The hashes of words as they stand in the index of one conversation: in another, none of them is the same.

    ``key`` is the server's; from it each conversation has a key of its own, for BLAKE2b (RFC 7693). The hashes are in
    their own order, so that they do not tell that of the words.
    """
    own = key.digest(b"chatd/search/1\0" + conversation.encode())
    digests = (blake2b(word.encode(), digest_size=HASH_BYTES, key=own).digest() for word in words)
    return tuple(sorted({int.from_bytes(digest, signed=True) for digest in digests}))


class Indexer:
    """Gives drafts their tokens. Of a message at most ``max_tokens`` different words are found, the first ones."""

    def __init__(self, authors: Authors, max_tokens: int) -> None:
        self._authors = authors
        self._max_tokens = max_tokens

    async def index(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        """The same drafts, of which messages and edits have the tokens of what they say."""
        key = await self._authors.writing(SERVER)
        return [self._indexed(draft, key) for draft in drafts]

    def _indexed(self, draft: Draft, key: AuthorKey) -> Draft:
        if not isinstance(draft.content, MessageContent):
            return draft
        words = tokens(draft.content.text, self._max_tokens)
        return replace(draft, tokens=hashes(key, draft.conversation, words))
