"""Shredding: a person's key is destroyed, and then whatever else is kept of their words."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from chatd.ctl.terminal import Shown
from chatd.interfaces.keys import IKeyCare
from chatd.records.base import Record
from chatd.store.erasure import Erased, PostgresErasure

SETTLE_SECONDS: Final = 5.0
"""After what time everything has been committed that was sealed under a key that was destroyed.

Workers look every half second for keys to forget; what was under way then takes milliseconds. If the database was
out of reach meanwhile it may be later: then shred once more, which takes whatever there is by then.
"""


class Shredded(Record, frozen=True, kw_only=True, gc=False):
    """When the key was destroyed, which may be long ago, and what was deleted now."""

    at: datetime
    erased: Erased


class Shredding:
    """``pause`` waits for so many seconds. Another one of the same person goes on where this one ended."""

    def __init__(
        self, keys: IKeyCare, erasure: PostgresErasure, pause: Callable[[float], Awaitable[None]], shown: Shown
    ) -> None:
        self._keys = keys
        self._erasure = erasure
        self._pause = pause
        self._shown = shown

    async def shred(self, user: str, destroyed: Callable[[datetime], None]) -> Shredded | None:
        """``destroyed`` is told as soon as the key is; None if ``user`` never had one, and then nothing is changed."""
        at = await self._keys.destroy(user)
        if at is None:
            return None
        destroyed(at)
        await self._pause(SETTLE_SECONDS)
        until = await self._erasure.until(user, SETTLE_SECONDS)
        await self._erasure.profile(user, until)
        conversations = await self._erasure.conversations(user)
        total, before, erased = sum(last for _, last in conversations), 0, Erased()
        for conversation, last in conversations:
            for low in range(0, last, self._erasure.step):
                erased += await self._erasure.erase(user, conversation, low, until)
                self._shown(before + min(low + self._erasure.step, last), total)
            before += last
        return Shredded(at=at, erased=erased)
