"""What may become of messages, decided on the roster and on what has become of them: pure functions."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from chatd.errors import Forbidden, NotFound, Unchanged
from chatd.handlers.access import check_mentions, check_sees, check_unblocked
from chatd.handlers.rights import check_open
from chatd.records.logs import MessageState
from chatd.records.rosters import Roster

Check = Callable[[Roster, str], None]
"""Whether the roster allows something to a member who sees the message; raises Forbidden where it does not."""


def deletes_own(roster: Roster, user: str) -> None:
    """Everybody may, at any time, where anything may be changed."""
    check_open(roster)


def may_alter(user: str, target: int, mentions: tuple[str, ...], check: Check, roster: Roster, seq: int) -> Roster:
    """See :data:`~chatd.records.rosters.Decide`."""
    check_sees(roster, user, target)
    check_unblocked(roster)
    check(roster, user)
    check_mentions(roster, mentions)
    return roster


def edited(user: str, latest: datetime | None, state: MessageState, seq: int) -> MessageState:
    """See :data:`~chatd.records.logs.Revise`."""
    _check_author(user, state, "edit")
    _check_time(latest, state, "edited")
    return replace(state, edited=seq)


def deleted(user: str, latest: datetime | None, state: MessageState, seq: int) -> MessageState:
    """See :data:`~chatd.records.logs.Revise`."""
    _check_author(user, state, "delete")
    _check_time(latest, state, "deleted")
    return replace(state, deleted=seq, pinned=None)


def removed(state: MessageState, seq: int) -> MessageState:
    """See :data:`~chatd.records.logs.Revise`; by somebody who keeps order, whatever its age."""
    _check_there(state)
    return replace(state, deleted=seq, pinned=None)


def pinned(state: MessageState, seq: int) -> MessageState:
    """See :data:`~chatd.records.logs.Revise`."""
    _check_there(state)
    if state.pinned is not None:
        raise Unchanged
    return replace(state, pinned=seq)


def unpinned(state: MessageState, seq: int) -> MessageState:
    """See :data:`~chatd.records.logs.Revise`."""
    _check_there(state)
    if state.pinned is None:
        raise Unchanged
    return replace(state, pinned=None)


def _check_there(state: MessageState) -> None:
    if state.deleted is not None:
        raise NotFound


def _check_author(user: str, state: MessageState, verb: str) -> None:
    _check_there(state)
    if state.author != user:
        raise Forbidden(f"Only its author may {verb} a message.")


def _check_time(earliest: datetime | None, state: MessageState, done: str) -> None:
    if earliest is not None and state.time < earliest:
        raise Forbidden(f"This message is too old to be {done}.")
