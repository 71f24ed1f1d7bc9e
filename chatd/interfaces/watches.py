"""What goes on beside the serving."""

from typing import Protocol


class Watch(Protocol):
    """Goes on from when the database is there until the worker winds down."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End; also if it has not begun."""
