"""What bears on a reaction: the marks on the message that it is about. This file is pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from chatd.records.logs import Draft
from chatd.records.reactions import Reaction

SAMPLES: Final = 3
"""Entries that are read of each emoji on a message: if the first cannot be opened, another may."""

Reactor = tuple[str, int, str]
"""A conversation, a ``seq`` in it, and a person who is about to react to the message there, or no longer to."""


class Marks:
    """The marks on one message: how many people have each, and which those have who are about to change theirs."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._own: dict[str, set[bytes]] = {}

    def load(self, user: str, mark: bytes, count: int, *, own: bool) -> None:
        """There are ``count`` of this mark, that of ``user`` among them if it is their own."""
        self._counts[mark] = count
        if own:
            self._own.setdefault(user, set()).add(mark)

    def check(self, user: str, reaction: Reaction) -> None:
        """Raise what ``reaction`` says to what is there."""
        reaction.check(self._own.get(user, ()), self._counts)

    def apply(self, user: str, reaction: Reaction) -> None:
        """Take down what has become of it."""
        own = self._own.setdefault(user, set())
        if reaction.added:
            own.add(reaction.mark)
            self._counts[reaction.mark] += 1
        else:
            own.discard(reaction.mark)
            self._counts[reaction.mark] -= 1
            self._counts = +self._counts


def reactions(draft: Draft) -> Iterator[Reaction]:
    """Those among the effects of a change."""
    return (effect for effect in draft.effects if isinstance(effect, Reaction))


def reactors(drafts: Iterable[Draft]) -> list[Reactor]:
    """Whose marks have to be loaded, and those of all others on the same message."""
    found = ((draft.conversation, one.target, draft.author) for draft in drafts for one in reactions(draft))
    return list(dict.fromkeys(found))
