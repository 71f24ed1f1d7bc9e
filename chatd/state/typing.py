"""Who is typing where, as far as people have been told.

Whoever is told that somebody types is told the end of it, or knows from the start when it ends by itself. Nothing of
this is kept anywhere else.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from chatd.state.delivery import Delivery

EXPIRES_SECONDS = 6.0
"""How long somebody counts as typing who does not say so again."""

COALESCED_SECONDS = 3.0
"""How long after a start was told another one by the same person there is not."""

MANY = 3
"""How many are told to type at a time where not all are."""

Stopped = Callable[[str, str, Collection[str]], None]
"""``(conversation, user, audience)``: these people had been told that ``user`` types."""


class _Typist:
    """Somebody who types, or did until a moment ago. ``owner`` is the connection that said so, if one did."""

    __slots__ = ("active", "audience", "conversation", "owner", "told_at", "user")

    def __init__(
        self, conversation: str, user: str, owner: Delivery[Any] | None, audience: frozenset[str], told_at: float
    ) -> None:
        self.conversation = conversation
        self.user = user
        self.owner = owner
        self.audience = audience
        self.told_at = told_at
        self.active = True


class Typists:
    """The people who type, of those who are connected to this worker. ``stopped`` is called when one has ceased to."""

    def __init__(self, seconds: Callable[[], float], stopped: Stopped) -> None:
        self._seconds = seconds
        self._stopped = stopped
        self._typists: dict[tuple[str, str], _Typist] = {}
        self._owned: dict[Delivery[Any], set[_Typist]] = {}
        self._expiring: deque[_Typist] = deque()
        self._shown: dict[str, dict[str, float]] = {}

    @property
    def anybody(self) -> bool:
        """Whether there is anybody to be stopped."""
        return bool(self._typists)

    def is_due(self, conversation: str, user: str) -> bool:
        """Whether people are to be told that ``user`` types: they have not been just now."""
        typist = self._typists.get((conversation, user))
        return typist is None or self._seconds() - typist.told_at >= COALESCED_SECONDS

    def start(self, conversation: str, user: str, owner: Delivery[Any] | None, audience: frozenset[str]) -> bool:
        """Somebody types. Whether ``audience`` is to be told."""
        if not self.is_due(conversation, user):
            return False
        self._drop(self._typists.get((conversation, user)))
        typist = _Typist(conversation, user, owner, audience, self._seconds())
        self._typists[conversation, user] = typist
        self._expiring.append(typist)
        if owner is not None:
            self._owned.setdefault(owner, set()).add(typist)
        return True

    def shown(self, conversation: str, user: str) -> None:
        """The members of a large group have been told that ``user`` types, by this worker or by another one."""
        self._shown.setdefault(conversation, {})[user] = self._seconds() + EXPIRES_SECONDS

    def is_crowded(self, conversation: str, user: str) -> bool:
        """Whether in this large group as many others are shown to type as may be."""
        now = self._seconds()
        shown = {other: until for other, until in self._shown.get(conversation, {}).items() if until > now}
        return len(shown.keys() - {user}) >= MANY

    def stop(self, conversation: str, user: str) -> None:
        """Somebody types no longer."""
        self._cease(self._typists.get((conversation, user)))

    def left(self, owner: Delivery[Any]) -> None:
        """A connection has gone, and nobody types on it any more."""
        for typist in list(self._owned.get(owner, ())):
            self._cease(typist)

    def part(self, users: Collection[str]) -> None:
        """Some of these people may be apart by now: they are told nothing more of each other."""
        for typist in self._typists.values():
            if typist.user in users:
                typist.audience = typist.audience.difference(users)

    def expire(self) -> None:
        """Stop those who have not said for too long that they type."""
        now = self._seconds()
        while self._expiring and now - self._expiring[0].told_at >= EXPIRES_SECONDS:
            typist = self._expiring.popleft()
            self._cease(typist)
            if self._typists.get((typist.conversation, typist.user)) is typist:
                del self._typists[typist.conversation, typist.user]
        for conversation, shown in list(self._shown.items()):
            if max(shown.values()) <= now:
                del self._shown[conversation]

    def _cease(self, typist: _Typist | None) -> None:
        """It is remembered for a while yet when people were told last."""
        if typist is None or not typist.active:
            return
        self._drop(typist)
        shown = self._shown.get(typist.conversation)
        if shown is not None and shown.pop(typist.user, None) is not None and not shown:
            del self._shown[typist.conversation]
        if typist.audience:
            self._stopped(typist.conversation, typist.user, typist.audience)

    def _drop(self, typist: _Typist | None) -> None:
        if typist is None:
            return
        typist.active = False
        if typist.owner is not None and (owned := self._owned.get(typist.owner)) is not None:
            owned.discard(typist)
            if not owned:
                del self._owned[typist.owner]
