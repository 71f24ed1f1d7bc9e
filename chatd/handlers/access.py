"""What a member may see of a conversation, for rules that are decided on its roster."""

from collections.abc import Iterable

from chatd.errors import Forbidden, Invalid, NotFound
from chatd.records.rosters import Roster
from chatd.state.relations import APART


def check_sees(roster: Roster, user: str, seq: int | None = None) -> None:
    """Raise NotFound unless ``user`` is a member, and sees what stands at ``seq``, if that is given.

    Of a conversation that its people were never told of nobody sees anything.
    """
    membership = roster.members.get(user)
    if membership is None or not roster.opened:
        raise NotFound
    if seq is not None and seq <= membership.since and roster.rules.history != "all":
        raise NotFound


def check_unblocked(roster: Roster) -> None:
    """Raise Forbidden in a direct conversation of two of whom one blocks the other; neither is told which."""
    if roster.blocked:
        raise Forbidden(APART)


def check_mentions(roster: Roster, mentions: Iterable[str]) -> None:
    """Raise Invalid unless all who are mentioned are members."""
    if not all(user in roster.members for user in mentions):
        raise Invalid("`mentions` names somebody who is not a member.")
