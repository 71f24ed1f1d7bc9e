"""What messages are found by: keyed hashes of their words, made when they are written."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from chatd.handlers.messages import MessageContent
from chatd.handlers.words import tokens
from chatd.records import Draft
from chatd.security.sealing import AuthorKey
from chatd.state.authors import SERVER, Authors

HASH_BYTES: Final = 8


def hashes(key: AuthorKey, conversation: str, words: Iterable[str]) -> tuple[int, ...]:
    """The hashes of words as they stand in the index of one conversation: in another, none of them is the same.

    In their own order, so that they do not tell that of the words.
    """
    salt = b"chatd/search/1\0%b\0" % conversation.encode()
    found = {int.from_bytes(key.digest(salt + word.encode())[:HASH_BYTES], signed=True) for word in words}
    return tuple(sorted(found))


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
