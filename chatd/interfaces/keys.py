"""Keys as they are kept."""

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime

from zope.interface import Interface

from chatd.records.keys import Rewrapped, WrappedKey


class IKeyStore(Interface):
    """People's wrapped data keys. A person whose key was destroyed has none, until they are given another."""

    def keys(users: Sequence[str]) -> Awaitable[list[WrappedKey]]:
        """The keys that exist among those asked for."""

    def add(key: WrappedKey) -> Awaitable[WrappedKey]:
        """Keep ``key`` unless the person has one already; the one that counts."""

    def destructions(users: Sequence[str]) -> Awaitable[Mapping[str, datetime]]:
        """When a key of these was last destroyed, for those of whom one ever was."""

    def destroyed_within(seconds: float) -> Awaitable[Mapping[str, datetime]]:
        """Whose keys were destroyed in so many last seconds, and when."""

    def masters() -> Awaitable[list[str]]:
        """The versions of master keys that some key is wrapped by, in order; at no cost that grows with the keys."""


class IKeyCare(Interface):
    """What an operator does with people's wrapped data keys, while workers use and add them."""

    def counts() -> Awaitable[Mapping[str, int]]:
        """How many keys are wrapped by each version of the master key."""

    def page(master: str | None, after: str | None, limit: int) -> Awaitable[list[WrappedKey]]:
        """Keys of that version, or of all, in the order of their users, of those behind ``after`` where it is given."""

    def rewrap(keys: Sequence[Rewrapped]) -> Awaitable[int]:
        """Put each key in the place of the one that it was made from; how many still stood there.

        One that has changed meanwhile is left as it is.
        """

    def destroy(user: str) -> Awaitable[datetime | None]:
        """Destroy a person's key; when that was done: now or before. None if there never was one."""
