"""Who is in which conversation, as far as this worker needs to know."""

from collections import OrderedDict

from chatd.errors import NotFound
from chatd.interfaces import IConversationStore


class Directory:
    """Members by conversation, read through and kept, the least recently used going first.

    The members of direct conversations and event queues never change, so what is kept stays true.
    """

    def __init__(self, store: IConversationStore, *, capacity: int = 100_000) -> None:
        self._store = store
        self._capacity = capacity
        self._members: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def known(self, conversation: str) -> tuple[str, ...] | None:
        """The members, if they are at hand."""
        members = self._members.get(conversation)
        if members is not None:
            self._members.move_to_end(conversation)
        return members

    def learn(self, conversation: str, members: tuple[str, ...]) -> None:
        """Keep what was found out elsewhere."""
        self._members[conversation] = members
        if len(self._members) > self._capacity:
            self._members.popitem(last=False)

    async def members(self, conversation: str, user: str) -> tuple[str, ...]:
        """The members of a conversation that ``user`` is in; raises NotFound for any other, there or not."""
        members = self.known(conversation)
        if members is None:
            found = await self._store.get(conversation)
            if found is None:
                raise NotFound
            members = found.members
            self.learn(conversation, members)
        if user not in members:
            raise NotFound
        return members
