"""Who is in which conversation, and who may do what there, as far as this worker needs to know."""

from collections import OrderedDict

from chatd.errors import NotFound
from chatd.interfaces.conversations import IConversationStore
from chatd.records.base import Signal
from chatd.records.rosters import Roster


class RosterChanged(Signal, frozen=True, kw_only=True, tag="roster.changed"):
    """Who may do what in a conversation has changed; ``access`` is that of its roster from then on."""

    conversation: str
    access: int


class Directory:
    """Rosters by conversation, read through and kept, the least recently used going first.

    What is kept may be old: what is written is checked again where it is written, and what is read where it is read.
    ``capacity`` bounds the people in all of them together, of whom each takes about 100 bytes.
    """

    def __init__(self, store: IConversationStore, *, capacity: int = 200_000) -> None:
        self._store = store
        self._capacity = capacity
        self._rosters: OrderedDict[str, Roster] = OrderedDict()
        self._people = 0

    def known(self, conversation: str) -> Roster | None:
        """The roster, if it is at hand."""
        roster = self._rosters.get(conversation)
        if roster is not None:
            self._rosters.move_to_end(conversation)
        return roster

    def learn(self, roster: Roster) -> None:
        """Keep what was found out elsewhere, unless something later is known."""
        known = self._rosters.get(roster.conversation)
        if known is not None and known.access > roster.access:
            return
        self.forget(roster.conversation)
        self._rosters[roster.conversation] = roster
        self._people += _size(roster)
        while self._people > self._capacity and len(self._rosters) > 1:
            self._people -= _size(self._rosters.popitem(last=False)[1])

    def forget(self, conversation: str) -> None:
        """What is kept of this conversation may be old: read it again when it is asked for."""
        known = self._rosters.pop(conversation, None)
        if known is not None:
            self._people -= _size(known)

    def heed(self, changed: RosterChanged) -> None:
        """Somebody has changed a roster, perhaps on another worker: what is older than that is not kept."""
        known = self._rosters.get(changed.conversation)
        if known is not None and known.access < changed.access:
            self.forget(changed.conversation)

    async def roster(self, conversation: str) -> Roster:
        """Who may do what in a conversation; raises NotFound where there is none."""
        roster = self.known(conversation)
        if roster is None:
            roster = await self._store.roster(conversation)
            if roster is None:
                raise NotFound
            self.learn(roster)
        return roster


def _size(roster: Roster) -> int:
    return len(roster.members) + len(roster.others) + 1
