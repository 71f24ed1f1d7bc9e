"""Epochs: stretches of time in which logs only grow."""

from datetime import datetime

from chatd.records.base import Record


class Epoch(Record, frozen=True, kw_only=True, gc=False):
    """The epoch that the database bears, since when, where the database was when it began, and where it is now."""

    name: str
    since: datetime
    place: str
    here: str

    @property
    def holds(self) -> bool:
        """Whether the database is where it was: if not, it was restored, moved or promoted since."""
        return self.place == self.here
