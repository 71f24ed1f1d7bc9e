"""Coming into groups by oneself: at once where that is open, by asking where it is not."""

from collections.abc import Awaitable
from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unchanged
from chatd.handlers import rosters
from chatd.handlers.caller import Caller
from chatd.handlers.group_changes import GroupChanges, ordered_by_group, welcomes
from chatd.handlers.group_events import ADDED, JOINED, MemberAdded, MemberJoined, UsersContent
from chatd.handlers.group_notices import (
    CANCELLED,
    DENIED,
    REQUESTED,
    AskContent,
    ConversationJoined,
    JoinCancelled,
    JoinDenied,
    JoinRequested,
    RequestContent,
)
from chatd.handlers.group_readers import GroupReaders
from chatd.handlers.kinds import Content, NoContent
from chatd.handlers.messages import PageSize
from chatd.handlers.revisions import Changed
from chatd.handlers.rights import Action, allows
from chatd.interfaces.conversations import IGroupStore
from chatd.records.rosters import Group, Roster
from chatd.settings.model import Groups as GroupLimits
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.types import NO_NUL, ClientId, ConversationId, Seq, UserId

RequestText = Annotated[str, Meta(max_length=500, pattern=NO_NUL, description="What is said to those who decide.")]


class _Asked(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What tells a repeat from something else, whether the group was open then and is now."""

    command: str
    conversation: str
    text: str = ""


class RequestToJoin(Command, frozen=True, kw_only=True, tag="join.request"):
    """Join, or ask to, with a word to those who decide."""

    client_id: ClientId
    conversation: ConversationId
    text: RequestText = ""


class CancelRequest(Command, frozen=True, kw_only=True, tag="join.cancel"):
    """Ask no longer."""

    client_id: ClientId
    conversation: ConversationId


class ApproveRequest(Command, frozen=True, kw_only=True, tag="join.approve"):
    """``user`` is let in."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId


class DenyRequest(Command, frozen=True, kw_only=True, tag="join.deny"):
    """``user`` is not let in."""

    client_id: ClientId
    conversation: ConversationId
    user: UserId


class ListRequests(Command, frozen=True, kw_only=True, tag="join.list"):
    """``after`` goes on behind a person, as the last page's ``next`` said."""

    conversation: ConversationId
    after: UserId | None = None
    limit: PageSize = 100


class JoinOutcome(Reply, frozen=True, kw_only=True):
    """``joined``: the caller is a member, and that stands in the group's log; else it stands in their own queue."""

    joined: bool
    conversation: ConversationId
    seq: Seq
    time: datetime


class PendingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who asks to be let in, and since when."""

    user: UserId
    requested_at: datetime


class RequestPage(Reply, frozen=True, kw_only=True):
    """People in the order of their ids. ``next`` is what the next page begins ``after``, null on the last one."""

    requests: list[PendingRequest]
    next: UserId | None


class Joining:
    """The commands about joining groups."""

    def __init__(
        self, changes: GroupChanges, readers: GroupReaders, store: IGroupStore, *, limits: GroupLimits
    ) -> None:
        self._changes = changes
        self._readers = readers
        self._store = store
        self._limits = limits

    @command(
        RequestToJoin,
        reply=JoinOutcome,
        route=Route("POST", "/v1/groups/{conversation}/requests"),
        errors=(Invalid, NotFound, Conflict, Unchanged, TooLarge),
        emits=(MemberJoined, JoinRequested),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g17", "text": "I sing alto"},
    )
    async def request(self, caller: Caller, request: RequestToJoin) -> Awaitable[JoinOutcome]:
        """Join a group where everybody may, or ask to be let in.

        Groups into which one comes by invitation alone are to others as if they did not exist. Admins and owners are
        told of a request in their event queues.
        """
        group = await self._store.group(request.conversation, caller.user)
        if group is None or (group.membership is None and not _has_a_door(group)):
            raise NotFound
        roster = await self._changes.door(request.conversation)
        asked = _Asked(command="join.request", conversation=request.conversation, text=request.text)
        if group.rules.joining == "open":
            decide = partial(rosters.joined, caller.user, self._limits)
            changed = await self._changes.in_group(
                caller, request, JOINED, NoContent(), decide, roster=roster, asked=asked
            )
        else:
            content = RequestContent(group=request.conversation, user=caller.user, text=request.text)
            decide = partial(rosters.asking, caller.user, self._changes.now(), self._limits)
            changed = await self._changes.beside(
                caller, request, REQUESTED, content, decide, others=_deciders(roster), roster=roster, asked=asked
            )
        return _outcome(request.conversation, changed)

    @command(
        CancelRequest,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/requests/cancel"),
        errors=(Invalid, NotFound, Conflict),
        emits=(JoinCancelled,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g18"},
    )
    async def cancel(self, caller: Caller, cancel: CancelRequest) -> Awaitable[Changed]:
        """Take a request of one's own back."""
        content = AskContent(group=cancel.conversation, user=caller.user)
        others = _deciders(await self._changes.roster(cancel.conversation, caller.user))
        decide = partial(rosters.withdrawn, caller.user)
        return await self._changes.beside(caller, cancel, CANCELLED, content, decide, others=others)

    @command(
        ApproveRequest,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/requests/approve"),
        errors=(Invalid, Forbidden, NotFound, Conflict, TooLarge),
        emits=(MemberAdded, ConversationJoined),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g19", "user": "dave"},
    )
    async def approve(self, caller: Caller, approve: ApproveRequest) -> Awaitable[Changed]:
        """Let somebody in who has asked."""
        # First: strangers learn nothing of a group, not even by how long they wait.
        await self._changes.roster(approve.conversation, caller.user)
        profile = await self._changes.profile(approve.conversation, caller.user)
        return await self._changes.in_group(
            caller,
            approve,
            ADDED,
            UsersContent(users=[approve.user]),
            partial(rosters.approved, caller.user, approve.user, self._limits),
            notices=welcomes(approve.conversation, profile, [approve.user]),
        )

    @command(
        DenyRequest,
        reply=Changed,
        route=Route("POST", "/v1/groups/{conversation}/requests/deny"),
        errors=(Invalid, Forbidden, NotFound, Conflict),
        emits=(JoinDenied,),
        ordered_by=ordered_by_group,
        hands_on=True,
        example={"client_id": "g20", "user": "dave"},
    )
    async def deny(self, caller: Caller, deny: DenyRequest) -> Awaitable[Changed]:
        """Do not let somebody in who has asked; they are told, and may ask again."""
        content = AskContent(group=deny.conversation, user=deny.user)
        decide = partial(rosters.denied, caller.user, deny.user)
        return await self._changes.beside(caller, deny, DENIED, content, decide, others=[deny.user])

    @command(
        ListRequests,
        reply=RequestPage,
        route=Route("GET", "/v1/groups/{conversation}/requests"),
        errors=(Invalid, Forbidden, NotFound),
    )
    async def list(self, caller: Caller, ask: ListRequests) -> RequestPage:
        """List who asks to be let in, for those who decide."""
        await self._readers.group(ask.conversation, caller.user, Action.ADMIT)
        page = await self._readers.people(ask.conversation, "asking", ask.after, ask.limit)
        found = [PendingRequest(user=one.user, requested_at=one.at) for one in page.people]
        return RequestPage(requests=found, next=page.next)


def _has_a_door(group: Group) -> bool:
    """Whether strangers may knock: to them every other group is as if it were not there."""
    return group.rules.joining != "invitation" and not group.closed


def _deciders(roster: Roster) -> list[str]:
    """Those who decide on requests, as far as this worker knows them."""
    return [user for user, one in roster.members.items() if allows(Action.ADMIT, roster.rules, one.role)]


async def _outcome(group: str, changed: Awaitable[Changed]) -> JoinOutcome:
    done = await changed
    return JoinOutcome(joined=done.conversation == group, conversation=done.conversation, seq=done.seq, time=done.time)
