"""The product's decisions in memory: the twin of what is asked over HTTP, for tests and for embedding."""

from zope.interface import implementer

from chatd.errors import Unavailable
from chatd.interfaces.people import IContacts, Purpose


@implementer(IContacts)
class MemoryContacts:
    """Allows ``allowed``, who contacts whom, and nobody else, unless it is ``down``. ``asked`` are all questions."""

    def __init__(self) -> None:
        self.allowed: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, str, Purpose]] = []
        self.down = False

    async def allows(self, user: str, other: str, purpose: Purpose) -> bool:
        """See :class:`~chatd.interfaces.people.IContacts`."""
        self.asked.append((user, other, purpose))
        if self.down:
            raise Unavailable
        return (user, other) in self.allowed
