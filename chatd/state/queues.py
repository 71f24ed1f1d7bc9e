"""Event queues: logs with one reader, written by the server alone."""

from chatd.records.rosters import Roster, plain_roster
from chatd.state.ids import event_queue


def queue_roster(user: str) -> Roster:
    """Where a person's event queue begins. Its rights never change."""
    return plain_roster(event_queue(user), "queue", (user,))
