"""Profiles: what people say of themselves, and who may see it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.errors import Conflict, Invalid, OutcomeUnknown, TooLarge
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Kind, Reader, draft
from chatd.handlers.messages import Sizes
from chatd.handlers.revisions import Changed, changed
from chatd.interfaces.bus import IBus
from chatd.interfaces.log import ILog
from chatd.interfaces.people import IProfileStore, IRelations
from chatd.records.base import Signal
from chatd.records.logs import Appended, Entry
from chatd.records.people import ProfileGiven
from chatd.state.authors import Authors
from chatd.state.exchange import Exchange
from chatd.state.ids import event_queue
from chatd.state.kept import Kept
from chatd.state.queues import queue_roster
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import AvatarUrl, ClientId, DisplayName, Metadata, UserId

KEPT_SECONDS = 60.0
"""How old a profile may be that is shown, where the news of a change was lost."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProfileContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What is sealed of a profile. ``issued_at`` is that of the token from which it was taken, if it was."""

    name: str = ""
    avatar_url: str = ""
    metadata: dict[str, str] = {}
    issued_at: float = 0.0


class ProfileUpdated(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="profile.updated"):
    """You gave yourself this profile. It stands in your event queue, for your devices; others fetch it anew."""

    name: DisplayName | None = None
    avatar_url: AvatarUrl | None = None
    metadata: Metadata = {}
    unreadable: bool = False


def _event(entry: Entry, content: ProfileContent | None) -> LogEvent:
    return ProfileUpdated(
        conversation=entry.conversation,
        seq=entry.seq,
        time=entry.time,
        name=(content.name or None) if content else None,
        avatar_url=(content.avatar_url or None) if content else None,
        metadata=content.metadata if content else {},
        unreadable=content is None,
    )


PROFILE = Kind("profile.updated", ProfileContent, _event)


class ProfilesChanged(Signal, frozen=True, kw_only=True, tag="profiles.changed"):
    """These people's profiles have changed."""

    users: tuple[str, ...]


class Update(Command, frozen=True, kw_only=True, tag="user.update"):
    """All of the caller's own profile: what is not given is not in it any more."""

    client_id: ClientId
    name: DisplayName | None = None
    avatar_url: AvatarUrl | None = None
    metadata: Metadata = {}


class Get(Command, frozen=True, kw_only=True, tag="user.get"):
    """Several people's profiles."""

    users: Annotated[
        list[UserId], Meta(min_length=1, max_length=100, description="Whose profiles.", examples=[["alice", "bob"]])
    ]


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody says of themselves, or their token says of them. ``version`` grows with each change of it."""

    user: UserId
    version: int
    name: DisplayName | None = None
    avatar_url: AvatarUrl | None = None
    metadata: Metadata = {}


class ProfileList(Reply, frozen=True, kw_only=True):
    """In the order in which they were asked for, without those of whom there is none for the caller to see."""

    profiles: list[Profile]


class Profiles:
    """The commands about profiles. What was read is kept for KEPT_SECONDS by ``clock``, for ``capacity`` people."""

    def __init__(
        self,
        log: ILog,
        store: IProfileStore,
        authors: Authors,
        reader: Reader,
        bus: IBus,
        relations: IRelations,
        exchange: Exchange,
        clock: Callable[[], float],
        *,
        sizes: Sizes,
        capacity: int = 20_000,
    ) -> None:
        self._log = log
        self._store = store
        self._authors = authors
        self._reader = reader
        self._bus = bus
        self._relations = relations
        self._sizes = sizes
        self._kept: Kept[Profile | None] = Kept(self._read, clock=clock, seconds=KEPT_SECONDS, capacity=capacity)
        self._hidden: Kept[None] = Kept(self._pass_over, clock=clock, seconds=KEPT_SECONDS, capacity=capacity)
        exchange.listen(ProfilesChanged, lambda changed: self._kept.forget(changed.users))

    @command(
        Update,
        reply=Changed,
        route=Route("POST", "/v1/profile"),
        errors=(Invalid, Conflict, TooLarge),
        emits=(ProfileUpdated,),
        ordered_by=lambda caller, update: event_queue(caller.user),
        hands_on=True,
        example={"client_id": "c10", "name": "Alice"},
    )
    async def update(self, caller: Caller, update: Update) -> Awaitable[Changed]:
        """Give oneself a profile, in place of all that was in it.

        The caller's devices are told; others see it when they fetch it. Until a person does this, what their tokens
        say is their profile: the claims ``name`` and ``picture``.
        """
        self._sizes.check("", update.metadata)
        content = ProfileContent(
            name=update.name or "", avatar_url=update.avatar_url or "", metadata=dict(update.metadata)
        )
        key = await self._authors.writing(caller.user)
        change = draft(
            PROFILE,
            content,
            author=caller.user,
            client_id=update.client_id,
            key=key,
            roster=queue_roster(caller.user),
            begins=True,
            effects=(ProfileGiven(),),
        )
        return self._changed(caller.user, self._log.append(change))

    async def _changed(self, user: str, committed: Awaitable[Appended]) -> Changed:
        try:
            done = await changed(committed)
        except OutcomeUnknown:
            self._bus.signal(ProfilesChanged(users=(user,)))
            raise
        self._bus.signal(ProfilesChanged(users=(user,)))
        return done

    @command(
        Get,
        reply=ProfileList,
        route=Route("POST", "/v1/users/get"),
        counts_as="read",
        errors=(Invalid,),
        example={"users": ["alice", "bob"]},
    )
    async def get(self, caller: Caller, ask: Get) -> ProfileList:
        """Read people's profiles.

        Whoever has none, is not known here or blocks the caller is left out, so that none of these shows.
        """
        hidden = await self._relations.blockers(caller.user)
        users = [user for user in dict.fromkeys(ask.users) if user not in hidden]
        found = await self._kept.get(users)
        await self._hidden.get(user for user in ask.users if user in hidden)
        return ProfileList(profiles=[profile for user in users if (profile := found[user]) is not None])

    async def _pass_over(self, users: Sequence[str]) -> Mapping[str, None]:
        """Look for profiles that are not shown: that takes as long as to look for some that are not there."""
        await self._store.profiles(users)
        return dict.fromkeys(users)

    async def _read(self, users: Sequence[str]) -> Mapping[str, Profile | None]:
        entries = await self._store.profiles(users)
        contents = await self._reader.contents(entries)
        found: dict[str, Profile | None] = dict.fromkeys(users)
        for entry, content in zip(entries, contents, strict=True):
            found[entry.author] = None if content is None else _profile(entry, content)
        return found


def _profile(entry: Entry, content: ProfileContent) -> Profile:
    return Profile(
        user=entry.author,
        version=(entry.time - _EPOCH) // timedelta(microseconds=1),
        name=content.name or None,
        avatar_url=content.avatar_url or None,
        metadata=content.metadata,
    )
