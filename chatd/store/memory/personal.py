"""What people set for themselves about conversations, in memory."""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from chatd.records.base import Record
from chatd.records.logs import Entry
from chatd.records.personal import PersonalSetting


class Personal(Record, frozen=True, kw_only=True, gc=False):
    """One person's settings of one conversation; ``archived`` is where the log stood when they archived it."""

    muted: bool = False
    muted_until: datetime | None = None
    archived: int | None = None
    private_reading: bool = False


NOTHING_SET = Personal()


def is_archived(personal: Personal, log: Any) -> bool:
    """Whether a conversation is archived, and no message has come since, unless during a mute."""
    if personal.archived is None:
        return False
    latest = max(log.states, default=0)
    if latest <= personal.archived:
        return True
    until = personal.muted_until
    return personal.muted and (until is None or log.states[latest].time < until)


def set_personal(database: Any, setting: PersonalSetting, entry: Entry) -> None:
    """Write one setting, having settled what has become of the archive until now."""
    log = database.logs[setting.conversation]
    key = setting.user, setting.conversation
    personal = database.personal.get(key, NOTHING_SET)
    here = len(log.entries)
    personal = replace(personal, archived=here if is_archived(personal, log) else None)
    database.personal[key] = replace(personal, **_changed(setting, here))


def _changed(setting: PersonalSetting, here: int) -> dict[str, Any]:
    match setting.change:
        case "mute" | "unmute":
            return {"muted": setting.change == "mute", "muted_until": setting.until}
        case "archive" | "unarchive":
            return {"archived": here if setting.change == "archive" else None}
        case "read privately" | "read openly":
            return {"private_reading": setting.change == "read privately"}
