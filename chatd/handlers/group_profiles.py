"""What groups are called."""

from collections.abc import Iterable

from chatd.handlers.group_events import GroupContent
from chatd.handlers.kinds import Reader
from chatd.interfaces.log import ILogStore
from chatd.records.base import Record


class GroupProfile(Record, frozen=True, kw_only=True, gc=False):
    """What a group shows of itself. Empty and ``unreadable`` where the entry that says it cannot be opened."""

    title: str = ""
    description: str = ""
    picture: str = ""
    unreadable: bool = False


class GroupProfiles:
    """Reads what groups are called from their logs. Who may see it is for the caller to know."""

    def __init__(self, log: ILogStore, reader: Reader) -> None:
        self._log = log
        self._reader = reader

    async def of(self, places: Iterable[tuple[str, int]]) -> dict[str, GroupProfile]:
        """The profiles of groups by their ids, given each with its roster's ``profile``: one statement for all."""
        wanted = list(places)
        entries = await self._log.at(wanted)
        contents = await self._reader.contents(entries)
        found = {entry.conversation: _profile(content) for entry, content in zip(entries, contents, strict=True)}
        return {conversation: found.get(conversation, _profile(None)) for conversation, _ in wanted}

    async def one(self, conversation: str, profile: int) -> GroupProfile:
        """The profile of one group."""
        return (await self.of([(conversation, profile)]))[conversation]


def _profile(content: GroupContent | None) -> GroupProfile:
    if content is None:
        return GroupProfile(unreadable=True)
    return GroupProfile(title=content.title, description=content.description, picture=content.picture)
