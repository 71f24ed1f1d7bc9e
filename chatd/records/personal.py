"""What somebody sets, or hides, for themselves alone."""

from datetime import datetime
from typing import Literal

from chatd.records.base import Effect


class Hiding(Effect, frozen=True, kw_only=True, gc=False):
    """The author of a change no longer wants to be shown the message at ``seq`` of ``conversation``.

    The rows are changed under the lock of that person's event queue.
    """

    conversation: str
    seq: int


PersonalChange = Literal["mute", "unmute", "archive", "unarchive", "read privately", "read openly"]


class PersonalSetting(Effect, frozen=True, kw_only=True, gc=False):
    """What a person sets for themselves about a conversation. Guarded by the lock of their event queue.

    ``until`` is when a mute ends, None for never.
    """

    user: str
    conversation: str
    change: PersonalChange
    until: datetime | None = None
