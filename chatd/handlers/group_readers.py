"""Reading about the people in and around groups: who may, always as things are now, and page by page."""

from collections.abc import Callable
from datetime import datetime

from chatd.errors import NotFound
from chatd.handlers.access import check_present
from chatd.handlers.rights import Action, check_role
from chatd.interfaces.conversations import IGroupStore
from chatd.records.base import Record
from chatd.records.rosters import Enlisted, Group, Standing


class People(Record, frozen=True, kw_only=True, gc=False):
    """One page; ``next`` is behind whom the next one begins, None on the last."""

    people: list[Enlisted]
    next: str | None


class GroupReaders:
    """Answers members who may know, and nobody else."""

    def __init__(self, store: IGroupStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def group(self, conversation: str, user: str, action: Action | None = None) -> Group:
        """A group that ``user`` is a member of and may do this in; raises NotFound or Forbidden."""
        group = await self._store.group(conversation, user)
        if group is None:
            raise NotFound
        membership = check_present(group.membership)
        if action is not None:
            check_role(action, group.rules, membership.role)
        return group

    async def people(self, conversation: str, standing: Standing, after: str | None, limit: int) -> People:
        """A page of those who stand to a group so. What is read costs the same wherever the page begins."""
        found = await self._store.people(conversation, standing, after or "", self._now(), limit + 1)
        page = found[:limit]
        return People(people=page, next=page[-1].user if len(found) > limit else None)
