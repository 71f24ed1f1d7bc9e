"""How a draft becomes an entry."""

from datetime import datetime

from chatd.records import Draft, Entry


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
    )
