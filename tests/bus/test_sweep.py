"""A look at the log for all who are connected."""

from typing import Any

import pytest
from twisted.internet.task import Clock, deferLater

from chatd.bus import sweep as sweep_module
from chatd.bus.sweep import MARGIN_SECONDS, Sweep
from chatd.errors import Unavailable
from chatd.records.bus import Reach


class Looked:
    """A hub of these people and the store that is asked about them, with what was asked and found."""

    def __init__(self, *users: str) -> None:
        self.clock = Clock()
        self.users = [*users]
        self.asked: list[tuple[list[str], float]] = []
        self.found: list[Reach] = []
        self.faults: list[Exception] = []
        self.failed: list[BaseException] = []
        hub: Any = self
        self.sweep = Sweep(
            hub, hub, clock=self.clock.seconds, pause=lambda s: deferLater(self.clock, s), failed=self.failed.append
        )

    async def reaches(self, users: list[str], seconds: float) -> list[Reach]:
        self.asked.append((users, seconds))
        if self.faults:
            raise self.faults.pop(0)
        return [Reach(user=user, conversation="c", last_seq=1, since=0) for user in users]

    def reached(self, reaches: list[Reach]) -> None:
        self.found += reaches


def test_it_asks_a_few_people_at_a_time_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "PEOPLE", 2)
    looked = Looked("a", "b", "c", "d", "e")
    looked.sweep.look_back(10)
    assert looked.asked == [(["a", "b"], 10 + MARGIN_SECONDS)]
    looked.clock.pump([0.05, 0.05, 0.05])
    assert [users for users, _ in looked.asked] == [["a", "b"], ["c", "d"], ["e"]]
    assert [reach.user for reach in looked.found] == ["a", "b", "c", "d", "e"]
    assert looked.sweep.taken == 1


def test_what_is_asked_for_meanwhile_is_looked_at_afterwards_as_far_back_as_any_asked() -> None:
    looked = Looked("a")
    looked.sweep.look_back(10)
    looked.sweep.look_back(50)
    looked.sweep.look_back(20)
    looked.clock.pump([0.05, 0.05])
    assert [round(seconds - MARGIN_SECONDS) for _, seconds in looked.asked] == [10, 50]
    assert looked.sweep.taken == 2


def test_while_the_database_is_away_it_tries_on_and_looks_the_further_back() -> None:
    looked = Looked("a")
    looked.faults = [Unavailable(), Unavailable()]
    looked.sweep.look_back(10)
    looked.clock.pump([1.0, 1.0])
    assert [seconds - MARGIN_SECONDS for _, seconds in looked.asked] == [10, 11, 12]
    assert len(looked.found) == 1


def test_a_defect_is_told_and_ends_no_later_look() -> None:
    looked = Looked("a")
    looked.faults = [ZeroDivisionError()]
    looked.sweep.look_back(10)
    assert [type(error) for error in looked.failed] == [ZeroDivisionError]
    looked.sweep.look_back(10)
    assert len(looked.found) == 1
