"""How what is done in a group and around it gets into the log, for all group commands alike.

What every member is to know stands in the group's log. What concerns two people and a group, an invitation for
instance, stands in the event queue of whoever does it and changes the group's roster from there; the other person and
whoever else has to know get a notice in their queues. All of it is one transaction.

Nothing is refused here that depends on how things are now: a repeat has to get its first reply whatever has changed
since, so that is for the ``decide`` of each change.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from chatd.errors import ChatdError, Forbidden, NotFound
from chatd.handlers.access import Access, check_present
from chatd.handlers.caller import Caller
from chatd.handlers.group_notices import CONVERSATION_JOINED, MembershipContent
from chatd.handlers.group_profiles import GroupProfile, GroupProfiles
from chatd.handlers.kinds import Content, Kind, draft
from chatd.handlers.revisions import Changed, changed
from chatd.interfaces.conversations import IGroupStore
from chatd.interfaces.log import ILog, ILogStore
from chatd.interfaces.people import IRelations
from chatd.records.base import Record
from chatd.records.logs import Appended, Draft, Elsewhere
from chatd.records.rosters import Decide, Roster
from chatd.security.sealing import AuthorKey
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.queues import queue_roster


class Ask(Protocol):
    """A command that changes something in a group or around it."""

    @property
    def client_id(self) -> str: ...

    @property
    def conversation(self) -> str: ...


class Notice(Record, frozen=True, kw_only=True, gc=False):
    """What one person is told in their event queue."""

    user: str
    kind: Kind
    content: Content


def ordered_by_group(caller: Caller, ask: Ask) -> str:
    """All commands about one group keep their order."""
    return ask.conversation


class GroupChanges:
    """The way into the log for the group commands."""

    def __init__(
        self,
        log: ILog,
        store: ILogStore,
        groups: IGroupStore,
        directory: Directory,
        access: Access,
        authors: Authors,
        relations: IRelations,
        profiles: GroupProfiles,
        now: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._store = store
        self._groups = groups
        self._directory = directory
        self._access = access
        self._authors = authors
        self._relations = relations
        self._profiles = profiles
        self.now = now

    async def roster(self, conversation: str, user: str) -> Roster:
        """The roster as far as this worker knows; raises NotFound for whoever never stood to the group in any way."""
        return await self._access.roster(conversation, user)

    async def door(self, conversation: str) -> Roster:
        """The roster, for whoever asks to be let in; raises NotFound where there is no such conversation."""
        return await self._directory.roster(conversation)

    def forget(self, conversation: str) -> None:
        """What this worker knows of a group has turned out to be old."""
        self._directory.forget(conversation)

    async def key(self, user: str) -> AuthorKey:
        """What ``user`` writes with."""
        return await self._authors.writing(user)

    async def profile(self, conversation: str, user: str) -> GroupProfile:
        """What a group is called at present."""
        group = await self._groups.group(conversation, user)
        return GroupProfile() if group is None else await self._profiles.one(conversation, group.profile)

    async def bringing(self, conversation: str, user: str, others: Iterable[str]) -> ChatdError | None:
        """Why ``user`` may not bring these into a group, if it is so: as things are, not as this worker knows them.

        To whom the group is not there nothing is told of the others.
        """
        group = await self._groups.group(conversation, user)
        try:
            check_present(None if group is None else group.membership)
        except NotFound as absent:
            return absent
        return await self.refusal(user, others)

    async def refusal(self, user: str, others: Iterable[str]) -> Forbidden | None:
        """Why ``user`` may not bring these into a new group, if it is so."""
        try:
            for other in others:
                await self._relations.check_contact(user, other)
        except Forbidden as refusal:
            return refusal
        return None

    async def in_group(
        self,
        caller: Caller,
        ask: Ask,
        kind: Kind,
        content: Content,
        decide: Decide,
        *,
        notices: Iterable[Notice] = (),
        refusal: ChatdError | None = None,
        roster: Roster | None = None,
        **more: Any,
    ) -> Awaitable[Changed]:
        """Hand on a change that stands in the group's log. A ``refusal`` is raised unless it was made before.

        ``roster`` is that of the ``door``, for whoever comes in by it.
        """
        key = await self.key(caller.user)
        change = draft(
            kind,
            content,
            author=caller.user,
            client_id=ask.client_id,
            key=key,
            roster=roster or await self.roster(ask.conversation, caller.user),
            decide=decide,
            notices=noticed(caller, ask.client_id, key, notices),
            **more,
        )
        return await self.hand_on(change, refusal)

    async def beside(
        self,
        caller: Caller,
        ask: Ask,
        kind: Kind,
        content: Content,
        decide: Decide,
        *,
        others: Iterable[str],
        told: Content | None = None,
        refusal: ChatdError | None = None,
        roster: Roster | None = None,
        **more: Any,
    ) -> Awaitable[Changed]:
        """Hand on a change of the group's roster that stands in the caller's event queue.

        It stands in the queues of ``others`` too: with the same content, unless they are ``told`` more. ``roster`` is
        as for ``in_group``.
        """
        roster = roster or await self.roster(ask.conversation, caller.user)
        notices = [Notice(user=user, kind=kind, content=told or content) for user in others]
        key = await self.key(caller.user)
        change = draft(
            kind,
            content,
            author=caller.user,
            client_id=ask.client_id,
            key=key,
            roster=queue_roster(caller.user),
            begins=True,
            elsewhere=(Elsewhere(roster=roster, decide=decide),),
            notices=noticed(caller, ask.client_id, key, notices),
            **more,
        )
        return await self.hand_on(change, refusal)

    async def hand_on(self, change: Draft, refusal: ChatdError | None = None) -> Awaitable[Changed]:
        """Put it into the log. A ``refusal`` is raised unless the change was made before."""
        if refusal is None:
            return changed(self._log.append(change))
        [verdict] = await self._store.repeats([change])
        if isinstance(verdict, Appended):
            return changed(_at_once(verdict))
        raise verdict or refusal


async def _at_once(appended: Appended) -> Appended:
    return appended


def noticed(caller: Caller, client_id: str, key: AuthorKey, notices: Iterable[Notice]) -> tuple[Draft, ...]:
    """What goes into event queues along with a change. Whoever makes the change knows of it already."""
    return tuple(
        draft(
            notice.kind,
            notice.content,
            author=caller.user,
            client_id=client_id,
            key=key,
            roster=queue_roster(notice.user),
        )
        for notice in notices
        if notice.user != caller.user
    )


def welcomes(group: str, profile: GroupProfile, users: Iterable[str]) -> Sequence[Notice]:
    """What those are told who are made members."""
    content = MembershipContent(group=group, title=profile.title, picture=profile.picture)
    return [Notice(user=user, kind=CONVERSATION_JOINED, content=content) for user in users]
