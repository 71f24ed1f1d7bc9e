"""What a scenario hands to the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import median, ratio
from bench.processes import OTHERS

_USERS = ("server", "PostgreSQL", "generator", OTHERS)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both sides. ``ratio`` is chatd's to the other's; ``met`` is None where there is no target.

    Where chatd is measured beside itself, ``chatd`` is the larger case and ``bare`` the smaller.
    """

    what: str
    chatd: float | None
    bare: float | None
    ratio: float | None
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """What one side showed in one turn of one part; ``figures`` is a frozen dataclass."""

    number: int
    side: str
    part: str
    figures: Any


@dataclass(frozen=True, slots=True)
class Findings:
    """One scenario: a line that says what was done, its table, and everything behind it.

    ``columns`` are what its two columns show.
    """

    scenario: str
    about: str
    rows: tuple[Row, ...]
    rounds: tuple[Round, ...]
    columns: tuple[str, str] = ("chatd", "bare Autobahn")

    @property
    def disturbance(self) -> float:
        """How many cores programs that have nothing to do with the bench used meanwhile: the median of all rounds."""
        shares = (share for turn in self.rounds for share in getattr(turn.figures, "shares", ()))
        return median([share.cores for share in shares if share.name == OTHERS]) or 0.0


class Turns:
    """Collects rounds and takes the medians over them."""

    def __init__(self) -> None:
        self._rounds: list[Round] = []

    def add(self, number: int, side: str, part: str, figures: Any) -> None:
        """One turn has ended."""
        self._rounds.append(Round(number, side, part, figures))

    @property
    def rounds(self) -> tuple[Round, ...]:
        return tuple(self._rounds)

    def median(self, side: str, part: str, figure: Callable[[Any], float | None]) -> float | None:
        """Of this figure, over all rounds of that side and part."""
        values = [figure(turn.figures) for turn in self._rounds if (turn.side, turn.part) == (side, part)]
        return median([value for value in values if value is not None])

    def row(self, what: str, part: str, figure: Callable[[Any], float | None], bare: str | None = None) -> Row:
        """Both sides' medians; ``bare`` is the other side's part where that has another name."""
        ours = self.median("chatd", part, figure)
        theirs = self.median("echo", part if bare is None else bare, figure)
        return Row(what, ours, theirs, ratio(ours, theirs))


def with_target(row: Row, target: str, met: Callable[[Row], bool | None]) -> Row:
    """The row with its verdict. ``met`` gives None where a figure is missing."""
    return Row(row.what, row.chatd, row.bare, row.ratio, target, met(row))


def at_least(value: float | None, bound: float) -> bool | None:
    return None if value is None else value >= bound


def at_most(value: float | None, bound: float) -> bool | None:
    return None if value is None else value <= bound


def share_rows(turns: Turns, part: str) -> Sequence[Row]:
    """How much of the processor was used in this part, and by whom: who was at the limit.

    Processor time for each message, connection or event is what a disturbed machine tells best.
    """
    cores = _cores_of("server")
    return [
        turns.row("server microseconds for each", part, lambda figures: _microseconds(cores(figures), figures.rate)),
        *(turns.row(f"cores used: {name}", part, _cores_of(name)) for name in _USERS),
    ]


def _microseconds(cores: float | None, rate: float) -> float | None:
    return None if cores is None or not rate else cores / rate * 1e6


def _cores_of(name: str) -> Callable[[Any], float | None]:
    return lambda figures: next((share.cores for share in figures.shares if share.name == name), None)
