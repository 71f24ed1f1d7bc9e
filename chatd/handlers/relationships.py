"""Following and blocking: how a person stands to another is theirs to say, and stands in their own event queue."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import msgspec
from msgspec.structs import replace

from chatd.errors import Conflict, Forbidden, Invalid, OutcomeUnknown, Unchanged
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Kind, NoContent, draft, told_as
from chatd.handlers.messages import PageSize
from chatd.handlers.revisions import Changed, changed
from chatd.interfaces.bus import IBus
from chatd.interfaces.log import ILog
from chatd.interfaces.people import IRelationStore
from chatd.records.logs import Appended, Draft, Elsewhere, Entry
from chatd.records.people import Relating, Side, Tie
from chatd.records.rosters import MEMBER, Roster, plain_roster
from chatd.security.sealing import AuthorKey
from chatd.state.authors import Authors
from chatd.state.ids import direct, event_queue
from chatd.state.queues import queue_roster
from chatd.state.relations import RelationsChanged
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import ClientId, UserId


class OtherContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a change is about."""

    user: str


class AboutSomebody(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="about"):
    """Base of what one's own devices are told. Where the entry is ``unreadable``, ``user`` is absent."""

    user: UserId | None = None
    unreadable: bool = False


class FollowingAdded(AboutSomebody, frozen=True, kw_only=True, omit_defaults=True, tag="following.added"):
    """You follow ``user``. It stands in your event queue, for your devices."""


class FollowingRemoved(AboutSomebody, frozen=True, kw_only=True, omit_defaults=True, tag="following.removed"):
    """You no longer follow ``user``. It stands in your event queue, for your devices."""


class BlockAdded(AboutSomebody, frozen=True, kw_only=True, omit_defaults=True, tag="block.added"):
    """You block ``user``, and neither follows the other any more. It stands in your event queue, for your devices."""


class BlockRemoved(AboutSomebody, frozen=True, kw_only=True, omit_defaults=True, tag="block.removed"):
    """You no longer block ``user``. It stands in your event queue, for your devices."""


class UserFollowed(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="user.followed"):
    """Somebody follows you. It stands in your event queue."""

    by: UserId


def _followed_event(entry: Entry, content: NoContent | None) -> LogEvent:
    return UserFollowed(conversation=entry.conversation, seq=entry.seq, time=entry.time, by=entry.author)


FOLLOWING_ADDED = Kind("following.added", OtherContent, told_as(FollowingAdded, author=None))
FOLLOWING_REMOVED = Kind("following.removed", OtherContent, told_as(FollowingRemoved, author=None))
BLOCK_ADDED = Kind("block.added", OtherContent, told_as(BlockAdded, author=None))
BLOCK_REMOVED = Kind("block.removed", OtherContent, told_as(BlockRemoved, author=None))
FOLLOWED = Kind("user.followed", NoContent, _followed_event)


class Follow(Command, frozen=True, kw_only=True, tag="user.follow"):
    """Begin to follow somebody."""

    client_id: ClientId
    user: UserId


class Unfollow(Command, frozen=True, kw_only=True, tag="user.unfollow"):
    """Follow somebody no longer."""

    client_id: ClientId
    user: UserId


class Block(Command, frozen=True, kw_only=True, tag="user.block"):
    """Begin to block somebody."""

    client_id: ClientId
    user: UserId


class Unblock(Command, frozen=True, kw_only=True, tag="user.unblock"):
    """Block somebody no longer."""

    client_id: ClientId
    user: UserId


class ListFollowing(Command, frozen=True, kw_only=True, tag="following.list"):
    """A page of those whom the caller follows; ``cursor`` is what the page before said is ``next``."""

    cursor: UserId | None = None
    limit: PageSize = 50


class ListFollowers(Command, frozen=True, kw_only=True, tag="follower.list"):
    """A page of those who follow the caller; ``cursor`` is what the page before said is ``next``."""

    cursor: UserId | None = None
    limit: PageSize = 50


class ListBlocks(Command, frozen=True, kw_only=True, tag="block.list"):
    """A page of those whom the caller blocks; ``cursor`` is what the page before said is ``next``."""

    cursor: UserId | None = None
    limit: PageSize = 50


class ListedPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in such a list, and since when."""

    user: UserId
    since: datetime


class PeoplePage(Reply, frozen=True, kw_only=True):
    """By the code points of the names. ``next`` is the cursor of the next page, null on the last one.

    Whoever is there all the while that the pages are read stands on exactly one of them.
    """

    users: list[ListedPerson]
    next: UserId | None


def _follow(tie: Tie) -> Tie:
    """See :data:`~chatd.records.people.Relate`."""
    if tie.blocks or tie.blocked:
        raise Forbidden("You cannot follow each other.")
    if tie.follows:
        raise Unchanged
    return replace(tie, follows=True)


def _unfollow(tie: Tie) -> Tie:
    """See :data:`~chatd.records.people.Relate`."""
    if not tie.follows:
        raise Unchanged
    return replace(tie, follows=False)


def _block(tie: Tie) -> Tie:
    """See :data:`~chatd.records.people.Relate`."""
    if tie.blocks:
        raise Unchanged
    return replace(tie, blocks=True, follows=False, followed=False)


def _unblock(tie: Tie) -> Tie:
    """See :data:`~chatd.records.people.Relate`."""
    if not tie.blocks:
        raise Unchanged
    return replace(tie, blocks=False)


def _standing(user: str, blocking: bool, roster: Roster, seq: int) -> Roster:
    """See :data:`~chatd.records.rosters.Decide`, of the direct conversation of the two."""
    membership = replace(roster.members.get(user, MEMBER), blocking=blocking)
    return replace(roster, members={**roster.members, user: membership}, changes={user: membership})


Changing = Follow | Unfollow | Block | Unblock
Listing = ListFollowing | ListFollowers | ListBlocks


def _queue(caller: Caller, ask: Changing) -> str:
    return event_queue(caller.user)


class Relationships:
    """The commands about how people stand to each other."""

    def __init__(self, log: ILog, store: IRelationStore, authors: Authors, bus: IBus) -> None:
        self._log = log
        self._store = store
        self._authors = authors
        self._bus = bus

    @command(
        Follow,
        reply=Changed,
        route=Route("POST", "/v1/users/{user}/follow"),
        errors=(Invalid, Forbidden, Conflict, Unchanged),
        emits=(FollowingAdded, UserFollowed),
        ordered_by=_queue,
        hands_on=True,
        example={"client_id": "c6", "user": "bob"},
    )
    async def follow(self, caller: Caller, ask: Follow) -> Awaitable[Changed]:
        """Follow somebody, who is told so in their event queue.

        It is refused while one of you blocks the other.
        """
        return await self._change(caller, ask, FOLLOWING_ADDED, _follow, tell=True)

    @command(
        Unfollow,
        reply=Changed,
        route=Route("POST", "/v1/users/{user}/unfollow"),
        errors=(Invalid, Conflict, Unchanged),
        emits=(FollowingRemoved,),
        ordered_by=_queue,
        hands_on=True,
        example={"client_id": "c7", "user": "bob"},
    )
    async def unfollow(self, caller: Caller, ask: Unfollow) -> Awaitable[Changed]:
        """Follow somebody no longer; only your own devices are told."""
        return await self._change(caller, ask, FOLLOWING_REMOVED, _unfollow)

    @command(
        Block,
        reply=Changed,
        route=Route("POST", "/v1/users/{user}/block"),
        errors=(Invalid, Conflict, Unchanged),
        emits=(BlockAdded,),
        ordered_by=_queue,
        hands_on=True,
        example={"client_id": "c8", "user": "bob"},
    )
    async def block(self, caller: Caller, ask: Block) -> Awaitable[Changed]:
        """Block somebody; only your own devices are told.

        From the reply on neither of you can write in your direct conversation, and neither follows the other. What was
        said before can still be read. Another's block of you is theirs, and stays when you end yours.
        """
        return await self._change(caller, ask, BLOCK_ADDED, _block, blocking=True)

    @command(
        Unblock,
        reply=Changed,
        route=Route("POST", "/v1/users/{user}/unblock"),
        errors=(Invalid, Conflict, Unchanged),
        emits=(BlockRemoved,),
        ordered_by=_queue,
        hands_on=True,
        example={"client_id": "c9", "user": "bob"},
    )
    async def unblock(self, caller: Caller, ask: Unblock) -> Awaitable[Changed]:
        """Block somebody no longer; only your own devices are told. Who followed whom before does not come back."""
        return await self._change(caller, ask, BLOCK_REMOVED, _unblock, blocking=False)

    async def _change(
        self,
        caller: Caller,
        ask: Changing,
        kind: Kind,
        relate: Callable[[Tie], Tie],
        *,
        blocking: bool | None = None,
        tell: bool = False,
    ) -> Awaitable[Changed]:
        if ask.user == caller.user:
            raise Invalid("`user` is yourself.")
        key = await self._authors.writing(caller.user)
        change = draft(
            kind,
            OtherContent(user=ask.user),
            author=caller.user,
            client_id=ask.client_id,
            key=key,
            roster=queue_roster(caller.user),
            begins=True,
            relating=Relating(other=ask.user, relate=relate),
            elsewhere=() if blocking is None else (_elsewhere(caller.user, ask.user, blocking),),
            notices=(_notice(caller.user, ask, key),) if tell else (),
        )
        apart = () if blocking is None else (caller.user, ask.user)
        return self._changed(self._log.append(change), apart)

    async def _changed(self, committed: Awaitable[Appended], apart: tuple[str, ...]) -> Changed:
        """``apart``: those of whom other workers have to read anew who is apart from them, before anybody is replied
        to, and also where it is not known whether that has changed."""
        try:
            done = await changed(committed)
        except OutcomeUnknown:
            self._tell_workers(apart)
            raise
        self._tell_workers(apart)
        return done

    def _tell_workers(self, apart: tuple[str, ...]) -> None:
        if apart:
            self._bus.signal(RelationsChanged(users=apart))

    @command(
        ListFollowing,
        reply=PeoplePage,
        route=Route("GET", "/v1/following"),
        errors=(Invalid,),
    )
    async def following(self, caller: Caller, ask: ListFollowing) -> PeoplePage:
        """List those whom the caller follows."""
        return await self._page("follows", caller, ask)

    @command(
        ListFollowers,
        reply=PeoplePage,
        route=Route("GET", "/v1/followers"),
        errors=(Invalid,),
    )
    async def followers(self, caller: Caller, ask: ListFollowers) -> PeoplePage:
        """List those who follow the caller."""
        return await self._page("followers", caller, ask)

    @command(
        ListBlocks,
        reply=PeoplePage,
        route=Route("GET", "/v1/blocks"),
        errors=(Invalid,),
    )
    async def blocks(self, caller: Caller, ask: ListBlocks) -> PeoplePage:
        """List those whom the caller blocks. Who blocks the caller is told to nobody."""
        return await self._page("blocks", caller, ask)

    async def _page(self, side: Side, caller: Caller, ask: Listing) -> PeoplePage:
        found = await self._store.page(side, caller.user, ask.cursor or "", ask.limit + 1)
        page = found[: ask.limit]
        return PeoplePage(
            users=[ListedPerson(user=one.user, since=one.since) for one in page],
            next=page[-1].user if len(found) > ask.limit else None,
        )


def _elsewhere(user: str, other: str, blocking: bool) -> Elsewhere:
    """What it means for their direct conversation, of which nobody is told where they do not have one yet."""
    roster = replace(plain_roster(direct(user, other), "direct", sorted((user, other))), opened=False)
    return Elsewhere(roster=roster, decide=partial(_standing, user, blocking))


def _notice(user: str, ask: Changing, key: AuthorKey) -> Draft:
    return draft(
        FOLLOWED,
        NoContent(),
        author=user,
        client_id=ask.client_id,
        key=key,
        roster=queue_roster(ask.user),
    )
