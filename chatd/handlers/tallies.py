"""How many react to messages, and with what."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.handlers.kinds import Reader
from chatd.handlers.reactions import ReactionContent
from chatd.interfaces.messages import IReactionStore
from chatd.records.logs import KeptMessage, Page
from chatd.records.reactions import Tally
from chatd.wire.types import Emoji


class ReactionCount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``mine``: the one who reads is among them."""

    emoji: Emoji
    count: Annotated[int, Meta(ge=1, description="How many people react with this emoji.")]
    mine: bool = False


class Tallies:
    """Reads pages of messages with what there is on them, and opens that."""

    def __init__(self, store: IReactionStore, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    async def page(self, page: Page) -> tuple[list[KeptMessage], list[Tally]]:
        """See :class:`~chatd.interfaces.messages.IReactionStore`."""
        return await self._store.page(page)

    async def shown(self, tallies: Sequence[Tally]) -> dict[int, list[ReactionCount]]:
        """By message, the emojis on it, those first that were there first. Nothing of one that cannot be opened."""
        shown: dict[int, list[ReactionCount]] = {}
        for tally, emoji in zip(tallies, await self._emojis(tallies), strict=True):
            if emoji is not None:
                counted = ReactionCount(emoji=emoji, count=tally.count, mine=tally.mine)
                shown.setdefault(tally.target, []).append(counted)
        return shown

    async def _emojis(self, tallies: Sequence[Tally]) -> list[str | None]:
        """The emoji of each: from its first sample, or from the next one where that cannot be opened."""
        emojis: list[str | None] = [None] * len(tallies)
        closed, turn = list(range(len(tallies))), 0
        while closed:
            contents = await self._reader.contents([tallies[n].samples[turn] for n in closed])
            for n, content in zip(closed, contents, strict=True):
                emojis[n] = content.emoji if isinstance(content, ReactionContent) else None
            turn += 1
            closed = [n for n in closed if emojis[n] is None and turn < len(tallies[n].samples)]
        return emojis
