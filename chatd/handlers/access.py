"""What a member may see of a conversation, for rules that are decided on its roster."""

from chatd.errors import NotFound
from chatd.records import Roster


def check_sees(roster: Roster, user: str, seq: int | None = None) -> None:
    """Raise NotFound unless ``user`` is a member, and sees what stands at ``seq``, if that is given."""
    membership = roster.members.get(user)
    if membership is None:
        raise NotFound
    if seq is not None and seq <= membership.since and roster.rules.history != "all":
        raise NotFound
