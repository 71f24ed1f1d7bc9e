"""What people set for themselves about conversations: muted, archived, read privately.

Such a change stands in the person's own event queue, so it has a ``client_id`` and a place, reaches all of their
devices, and is caught up with; nobody else hears of it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

from chatd.errors import ChatdError, Conflict, Invalid, NotFound, Unchanged
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Kind, draft, told_as
from chatd.handlers.revisions import Changed, changed
from chatd.handlers.seen import refusing
from chatd.interfaces.conversations import IReadingStore
from chatd.interfaces.log import ILog
from chatd.records.personal import PersonalChange, PersonalSetting
from chatd.records.reading import Listed
from chatd.records.rosters import unrestricted
from chatd.state.authors import Authors
from chatd.state.ids import event_queue
from chatd.state.queues import queue_roster
from chatd.wire.commands import Command, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import ClientId, ConversationId

LONGEST_MUTE = timedelta(days=3660)
"""Beyond this a mute is for ever: nobody means a later day, and not every calendar has one."""

Until = Annotated[datetime, Meta(tz=True, description="When it ends, in any zone.", examples=["2030-01-01T12:00:00Z"])]


class SettingContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What is sealed of a setting: the conversation."""

    about: str


class MuteContent(SettingContent, frozen=True, kw_only=True, omit_defaults=True):
    """What is sealed of a mute: when it ends too, None for never."""

    until: datetime | None = None


class SettingEvent(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="setting"):
    """Base of the events of settings: ``about`` is the conversation, absent where the entry is ``unreadable``."""

    about: ConversationId | None = None
    unreadable: bool = False


class ConversationMuted(SettingEvent, frozen=True, kw_only=True, omit_defaults=True, tag="conversation.muted"):
    """The caller muted a conversation, ``until`` then or, without it, for ever. It stands in the event queue."""

    until: datetime | None = None


class ConversationUnmuted(SettingEvent, frozen=True, kw_only=True, omit_defaults=True, tag="conversation.unmuted"):
    """The caller ended the mute of a conversation. It stands in the event queue."""


class ConversationArchived(SettingEvent, frozen=True, kw_only=True, omit_defaults=True, tag="conversation.archived"):
    """The caller archived a conversation. It stands in the event queue."""


class ConversationUnarchived(
    SettingEvent, frozen=True, kw_only=True, omit_defaults=True, tag="conversation.unarchived"
):
    """The caller took a conversation out of the archive. It stands in the event queue."""


class ReadingHidden(SettingEvent, frozen=True, kw_only=True, omit_defaults=True, tag="reading.hidden"):
    """The caller reads a conversation privately from now on. It stands in the event queue."""


class ReadingShown(SettingEvent, frozen=True, kw_only=True, omit_defaults=True, tag="reading.shown"):
    """The caller lets others know again how far a conversation was read. It stands in the event queue."""


MUTED = Kind("conversation.muted", MuteContent, told_as(ConversationMuted, author=None))
UNMUTED = Kind("conversation.unmuted", SettingContent, told_as(ConversationUnmuted, author=None))
ARCHIVED = Kind("conversation.archived", SettingContent, told_as(ConversationArchived, author=None))
UNARCHIVED = Kind("conversation.unarchived", SettingContent, told_as(ConversationUnarchived, author=None))
HIDDEN = Kind("reading.hidden", SettingContent, told_as(ReadingHidden, author=None))
SHOWN = Kind("reading.shown", SettingContent, told_as(ReadingShown, author=None))

PERSONAL_KINDS = (MUTED, UNMUTED, ARCHIVED, UNARCHIVED, HIDDEN, SHOWN)


class Mute(Command, frozen=True, kw_only=True, tag="conversation.mute"):
    """Without ``until``, for ever."""

    client_id: ClientId
    conversation: ConversationId
    until: Until | None = None


class Unmute(Command, frozen=True, kw_only=True, tag="conversation.unmute"):
    """The mute to end."""

    client_id: ClientId
    conversation: ConversationId


class Archive(Command, frozen=True, kw_only=True, tag="conversation.archive"):
    """The conversation to put into the archive."""

    client_id: ClientId
    conversation: ConversationId


class Unarchive(Command, frozen=True, kw_only=True, tag="conversation.unarchive"):
    """The conversation to take out of the archive."""

    client_id: ClientId
    conversation: ConversationId


class HideReading(Command, frozen=True, kw_only=True, tag="reading.hide"):
    """The conversation to read privately."""

    client_id: ClientId
    conversation: ConversationId


class ShowReading(Command, frozen=True, kw_only=True, tag="reading.show"):
    """The conversation to read openly."""

    client_id: ClientId
    conversation: ConversationId


Setting = Mute | Unmute | Archive | Unarchive | HideReading | ShowReading


def _queue(caller: Caller, ask: Setting) -> str:
    """One person's settings take effect one after the other: each is decided on what the one before has left."""
    return event_queue(caller.user)


class PersonalSettings:
    """The commands by which people set something for themselves."""

    def __init__(self, log: ILog, store: IReadingStore, authors: Authors, now: Callable[[], datetime]) -> None:
        self._log = log
        self._store = store
        self._authors = authors
        self._now = now

    @command(
        Mute,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/mute"),
        errors=(Invalid, NotFound, Conflict),
        emits=(ConversationMuted,),
        ordered_by=_queue,
        example={"client_id": "c1", "until": "2030-01-01T12:00:00Z"},
    )
    async def mute(self, caller: Caller, mute: Mute) -> Changed:
        """Mute a conversation for oneself: a request not to be disturbed, which all of one's devices are told.

        What is said is delivered and counted all the same. Mentions are counted separately, for clients that let
        them through. Muting again changes when the mute ends.
        """
        until, now = _in_utc(mute.until), self._now()
        if until is not None and until > now + LONGEST_MUTE:
            raise Invalid("`until` is more than ten years away: leave it out to mute for ever.")
        past = Invalid("`until` has passed: give a later time, or end the mute with `conversation.unmute`.")
        refused = past if until is not None and until <= now else None
        return await self._set(caller, mute, MUTED, "mute", lambda view: refused, until)

    @command(
        Unmute,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/unmute"),
        errors=(Invalid, NotFound, Conflict, Unchanged),
        emits=(ConversationUnmuted,),
        ordered_by=_queue,
        example={"client_id": "c2"},
    )
    async def unmute(self, caller: Caller, unmute: Unmute) -> Changed:
        """End a mute."""
        return await self._set(caller, unmute, UNMUTED, "unmute", lambda view: _unless(view.muted))

    @command(
        Archive,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/archive"),
        errors=(Invalid, NotFound, Conflict, Unchanged),
        emits=(ConversationArchived,),
        ordered_by=_queue,
        example={"client_id": "c3"},
    )
    async def archive(self, caller: Caller, archive: Archive) -> Changed:
        """Archive a conversation for oneself: it leaves the list, and is listed with ``archived``.

        The next message brings it back, unless the conversation is muted at that time.
        """
        return await self._set(caller, archive, ARCHIVED, "archive", lambda view: _unless(not view.archived))

    @command(
        Unarchive,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/unarchive"),
        errors=(Invalid, NotFound, Conflict, Unchanged),
        emits=(ConversationUnarchived,),
        ordered_by=_queue,
        example={"client_id": "c4"},
    )
    async def unarchive(self, caller: Caller, unarchive: Unarchive) -> Changed:
        """Take a conversation out of the archive."""
        return await self._set(caller, unarchive, UNARCHIVED, "unarchive", lambda view: _unless(view.archived))

    @command(
        HideReading,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/reading/hide"),
        errors=(Invalid, NotFound, Conflict, Unchanged),
        emits=(ReadingHidden,),
        ordered_by=_queue,
        example={"client_id": "c5"},
    )
    async def hide_reading(self, caller: Caller, hide: HideReading) -> Changed:
        """Read a conversation privately: as if each ``read`` of it, on any device, said ``private``."""
        return await self._set(caller, hide, HIDDEN, "read privately", lambda view: _unless(not view.private_reading))

    @command(
        ShowReading,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/reading/show"),
        errors=(Invalid, NotFound, Conflict, Unchanged),
        emits=(ReadingShown,),
        ordered_by=_queue,
        example={"client_id": "c6"},
    )
    async def show_reading(self, caller: Caller, show: ShowReading) -> Changed:
        """Read a conversation openly again. What was read privately until now stays private until the next ``read``."""
        return await self._set(caller, show, SHOWN, "read openly", lambda view: _unless(view.private_reading))

    async def _set(
        self,
        caller: Caller,
        ask: Setting,
        kind: Kind,
        change: PersonalChange,
        refusal: Callable[[Listed], ChatdError | None],
        until: datetime | None = None,
    ) -> Changed:
        """What refuses is looked at before, and told in the transaction: a repeat gets its first reply all the same."""
        view = await self._store.view(caller.user, ask.conversation)
        if view is None:
            refused: ChatdError | None = NotFound()
        elif view.conversation.kind == "queue":
            refused = Invalid("`conversation` is the event queue, of which there is nothing to set.")
        else:
            refused = refusal(view)
        key = await self._authors.writing(caller.user)
        about = ask.conversation
        content = SettingContent(about=about) if until is None else MuteContent(about=about, until=until)
        setting = draft(
            kind,
            content,
            author=caller.user,
            client_id=ask.client_id,
            key=key,
            roster=queue_roster(caller.user),
            decide=refusing(refused) if refused else unrestricted,
            begins=True,
            effects=(PersonalSetting(user=caller.user, conversation=about, change=change, until=until),),
        )
        return await changed(self._log.append(setting))


def _in_utc(time: datetime | None) -> datetime | None:
    try:
        return None if time is None else time.astimezone(UTC)
    except OverflowError:
        raise Invalid("`until` lies outside the calendar.") from None


def _unless(sensible: bool) -> Unchanged | None:
    return None if sensible else Unchanged()
