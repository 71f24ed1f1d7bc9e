"""What concerns one person and a group, and stands in event queues: of that person, and of whoever else has to know.

``conversation`` is the queue, as in all events of it; the group is ``group``. A title is the group's as of then.
"""

from datetime import datetime
from typing import Literal

from chatd.handlers.kinds import Content, Kind, told_as
from chatd.wire.events import LogEvent
from chatd.wire.types import ConversationId, UserId

Parting = Literal["removed", "banned"]


class MembershipContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """That somebody is in a group now, or no longer."""

    group: str
    title: str = ""
    picture: str = ""


class PartingContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Why somebody is in a group no longer."""

    group: str
    reason: Parting


class AskContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Whom an invitation or a request concerns, or an answer to it."""

    group: str
    user: str


class InvitationContent(AskContent, frozen=True, kw_only=True, omit_defaults=True):
    """Who is invited into what. The title and the rest are told to the invited alone."""

    title: str = ""
    picture: str = ""
    expires_at: datetime | None = None


class RequestContent(AskContent, frozen=True, kw_only=True, omit_defaults=True):
    """Who asks, or asked, to be let in."""

    text: str = ""


class ConversationJoined(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="conversation.joined"):
    """Somebody made you a member of ``group``: its log is yours from then on."""

    by: UserId
    group: ConversationId | None = None
    title: str = ""
    picture: str = ""
    unreadable: bool = False


class ConversationLeft(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="conversation.left"):
    """Somebody put you out of ``group``: nothing of its log is yours from then on."""

    by: UserId
    group: ConversationId | None = None
    reason: Parting | None = None
    unreadable: bool = False


class InvitationSent(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="invitation.sent"):
    """``by`` invited ``user`` into ``group``. It stands in the queues of both."""

    by: UserId
    group: ConversationId | None = None
    user: UserId | None = None
    title: str = ""
    picture: str = ""
    expires_at: datetime | None = None
    unreadable: bool = False


class InvitationDeclined(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="invitation.declined"):
    """``user`` declined. It stands in the queues of both."""

    by: UserId
    group: ConversationId | None = None
    user: UserId | None = None
    unreadable: bool = False


class InvitationRevoked(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="invitation.revoked"):
    """``by`` took the invitation of ``user`` back. It stands in the queues of both."""

    by: UserId
    group: ConversationId | None = None
    user: UserId | None = None
    unreadable: bool = False


class JoinRequested(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="join.requested"):
    """``user`` asks to be let in. It stands in their queue and in those of the group's admins and owners."""

    by: UserId
    group: ConversationId | None = None
    user: UserId | None = None
    text: str = ""
    unreadable: bool = False


class JoinDenied(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="join.denied"):
    """``user`` is not let in. It stands in their queue and in that of ``by``."""

    by: UserId
    group: ConversationId | None = None
    user: UserId | None = None
    unreadable: bool = False


class JoinCancelled(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="join.cancelled"):
    """``user`` asks no longer. It stands in their queue and in those of the group's admins and owners."""

    by: UserId
    group: ConversationId | None = None
    user: UserId | None = None
    unreadable: bool = False


CONVERSATION_JOINED = Kind("conversation.joined", MembershipContent, told_as(ConversationJoined))
CONVERSATION_LEFT = Kind("conversation.left", PartingContent, told_as(ConversationLeft))
INVITED = Kind("invitation.sent", InvitationContent, told_as(InvitationSent))
DECLINED = Kind("invitation.declined", AskContent, told_as(InvitationDeclined))
REVOKED = Kind("invitation.revoked", AskContent, told_as(InvitationRevoked))
REQUESTED = Kind("join.requested", RequestContent, told_as(JoinRequested))
DENIED = Kind("join.denied", AskContent, told_as(JoinDenied))
CANCELLED = Kind("join.cancelled", AskContent, told_as(JoinCancelled))

NOTICE_KINDS = (
    CONVERSATION_JOINED,
    CONVERSATION_LEFT,
    INVITED,
    DECLINED,
    REVOKED,
    REQUESTED,
    DENIED,
    CANCELLED,
)
