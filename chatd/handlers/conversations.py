"""Conversations: which there are, who is in them, and what the caller has of them."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chatd.errors import Invalid, NotFound
from chatd.handlers.caller import Caller
from chatd.handlers.group_profiles import GroupProfile, GroupProfiles
from chatd.handlers.history import Message, messages_now
from chatd.handlers.kinds import Reader
from chatd.handlers.messages import PageSize
from chatd.interfaces.conversations import IReadingStore
from chatd.interfaces.people import IRelations
from chatd.records.reading import MAX_UNREAD, Listed, Mark
from chatd.records.rosters import ConversationKind
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.types import ConversationId, Seq, UserId

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_PROFILE = GroupProfile()

PageCursor = Annotated[
    str,
    Meta(
        max_length=128, pattern="^[A-Za-z0-9_-]*$(?!\\n)", description="Where the last page ended, as its `next` said."
    ),
]


Unread = Annotated[int, Meta(ge=0, le=MAX_UNREAD, description=f"Counted up to {MAX_UNREAD:,}.")]


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``delivered``: how far the log has reached any device of theirs; ``read``: how far they let know they have read.

    Both are absent where one of the caller and this member has blocked the other.
    """

    user: UserId
    delivered: Seq | None = None
    read: Seq | None = None


class Mine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a conversation is to the caller. ``title`` and ``picture`` are a group's, ``member_count`` anybody's.

    ``delivered``: how far its log has reached any device of theirs; ``read``: how far they have read, told or not.
    ``unread``: messages of others behind that, ``mentions``: those among them that name the caller, muted or not;
    with ``unread_more`` or ``mentions_more`` there may be more. ``last_message`` is the latest that the caller may
    see. Without ``muted_until`` a mute is for ever. ``private_reading``: the others are not told how far one has read.
    """

    delivered: Seq
    read: Seq
    unread: Unread
    mentions: Unread
    unread_more: bool = False
    mentions_more: bool = False
    muted: bool = False
    muted_until: datetime | None = None
    archived: bool = False
    private_reading: bool = False
    last_message: Message | None = None
    member_count: int
    title: str = ""
    picture: str = ""


class Get(Command, frozen=True, kw_only=True, tag="conversation.get"):
    """One conversation."""

    conversation: ConversationId


class ConversationInfo(Reply, Mine, frozen=True, kw_only=True):
    """A conversation, its members, and what it is to the caller. ``last_at`` is when its log last changed.

    The members of a large group are not told here.
    """

    conversation: ConversationId
    kind: ConversationKind
    members: list[Member]
    last_seq: Seq
    created_at: datetime
    last_at: datetime


class List(Command, frozen=True, kw_only=True, tag="conversation.list"):
    """A page of the caller's conversations; ``cursor`` goes on where another page ended.

    Either those that the caller has ``archived``, or the others.
    """

    cursor: PageCursor | None = None
    limit: PageSize = 50
    archived: bool = False


class ListedConversation(Mine, frozen=True, kw_only=True):
    """A conversation in the list, and what it is to the caller. Of a group, no members are told here."""

    conversation: ConversationId
    kind: ConversationKind
    members: list[UserId]
    last_seq: Seq
    last_at: datetime


class ConversationPage(Reply, frozen=True, kw_only=True):
    """The latest first. ``next`` is the cursor of the next page, null on the last one."""

    conversations: list[ListedConversation]
    next: str | None


class Conversations:
    """The commands that show conversations. Groups of more than ``large_group`` members are large."""

    def __init__(
        self,
        store: IReadingStore,
        relations: IRelations,
        reader: Reader,
        profiles: GroupProfiles,
        *,
        large_group: int,
    ) -> None:
        self._store = store
        self._relations = relations
        self._reader = reader
        self._profiles = profiles
        self._large_group = large_group

    @command(
        Get,
        reply=ConversationInfo,
        route=Route("GET", "/v1/conversations/{conversation}"),
        errors=(Invalid, NotFound),
    )
    async def get(self, caller: Caller, ask: Get) -> ConversationInfo:
        """Describe one of the caller's conversations."""
        view = await self._store.view(caller.user, ask.conversation)
        if view is None:
            raise NotFound
        found = view.conversation
        [mine] = await self._mine([view])
        return ConversationInfo(
            conversation=found.conversation,
            kind=found.kind,
            members=await self._members(caller.user, view) if found.member_count <= self._large_group else [],
            last_seq=found.last_seq,
            created_at=found.created_at,
            last_at=found.last_at,
            **mine,
        )

    async def _members(self, user: str, view: Listed) -> list[Member]:
        apart = await self._relations.apart(user)
        return [
            Member(user=mark.user) if mark.user in apart else _member(mark)
            for mark in await self._store.marks(view.conversation.conversation)
        ]

    @command(
        List,
        reply=ConversationPage,
        route=Route("GET", "/v1/conversations"),
        errors=(Invalid,),
    )
    async def list(self, caller: Caller, ask: List) -> ConversationPage:
        """List the caller's conversations in which anything was said, the latest first.

        A conversation that does not change while its pages are read is on exactly one of them; one that changes comes
        to the top, and is seen again there.
        """
        before = None if ask.cursor is None else _parsed(ask.cursor)
        found = await self._store.page(caller.user, before, ask.limit + 1, ask.archived)
        page = found[: ask.limit]
        last = page[-1].conversation if len(found) > ask.limit else None
        return ConversationPage(
            conversations=[
                ListedConversation(
                    conversation=listed.conversation.conversation,
                    kind=listed.conversation.kind,
                    members=[*listed.conversation.members],
                    last_seq=listed.conversation.last_seq,
                    last_at=listed.conversation.last_at,
                    **mine,
                )
                for listed, mine in zip(page, await self._mine(page), strict=True)
            ],
            next=None if last is None else _cursor(last.last_at, last.conversation),
        )

    async def _mine(self, page: Sequence[Listed]) -> Sequence[dict[str, Any]]:
        """The fields of ``Mine`` for each, whose texts are opened together."""
        latest = [listed.last for listed in page if listed.last is not None]
        messages = {message.conversation: message for message in await messages_now(self._reader, latest)}
        groups = [listed.conversation for listed in page if listed.conversation.profile]
        profiles = await self._profiles.of((group.conversation, group.profile) for group in groups)
        return [
            _fields(listed, messages.get(listed.conversation.conversation))
            | _shown(profiles.get(listed.conversation.conversation, NO_PROFILE))
            for listed in page
        ]


def _member(mark: Mark) -> Member:
    return Member(user=mark.user, delivered=mark.delivered, read=mark.read)


def _fields(listed: Listed, message: Message | None) -> dict[str, Any]:
    return {
        "delivered": listed.delivered,
        "read": listed.read,
        "unread": listed.unread.number,
        "unread_more": listed.unread.more,
        "mentions": listed.mentions.number,
        "mentions_more": listed.mentions.more,
        "muted": listed.muted,
        "muted_until": listed.muted_until,
        "archived": listed.archived,
        "private_reading": listed.private_reading,
        "last_message": message,
        "member_count": listed.conversation.member_count,
    }


def _shown(profile: GroupProfile) -> dict[str, Any]:
    return {"title": profile.title, "picture": profile.picture}


def _cursor(last_at: datetime, conversation: str) -> str:
    micros = (last_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}.{conversation}".encode()).decode().rstrip("=")


def _parsed(cursor: str) -> tuple[datetime, str]:
    try:
        micros, _, conversation = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(".")
        return _EPOCH + timedelta(microseconds=int(micros)), msgspec.convert(conversation, ConversationId)
    except (binascii.Error, UnicodeError, ValueError, OverflowError):
        raise Invalid("`cursor` is none that a page of this list ended with.") from None
