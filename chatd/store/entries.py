"""How a draft becomes an entry."""

from datetime import datetime
from typing import Final

from chatd.records.logs import Draft, Entry

MESSAGE: Final = "message.created"
"""The kind of entry that stands in the log's main body."""

EDITED: Final = "message.edited"
"""The kind of entry that replaces what a message says."""

REACTED: Final = ("reaction.added", "reaction.removed")
"""The kinds of entry that say which emoji somebody put to a message."""
PROFILE: Final = "profile.updated"
"""The kind of entry that says what its author's profile is."""


def plain(draft: Draft) -> bool:
    """Whether this is a message that changes nothing but the end of its log."""
    more = draft.begins or draft.revision or draft.elsewhere or draft.notices or draft.effects or draft.relating
    return draft.kind == MESSAGE and not more


def placed(draft: Draft, seq: int, time: datetime) -> Entry:
    """The entry that ``draft`` is, now that it is committed at ``seq``."""
    return Entry(
        conversation=draft.conversation,
        seq=seq,
        time=time,
        author=draft.author,
        client_id=draft.client_id,
        kind=draft.kind,
        sealed=draft.sealed,
        target=None if draft.revision is None else draft.revision.target,
    )
