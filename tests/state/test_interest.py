"""Who follows what, and how much of that is kept."""

import pytest

from chatd.state import interest as interest_module
from chatd.state.interest import Interest


def test_a_log_is_kept_for_as_long_as_anybody_follows_it() -> None:
    interest = Interest()
    begun: list[str] = []
    interest.begun = begun.append
    interest.follow("alice", "c", 3)
    assert interest.follow("bob", "c", 9).high == 3
    interest.follow("alice", "c", 5)
    interest.leave("alice")
    assert (len(interest), interest.followers("c")) == (1, ["bob"])
    interest.unfollow("bob", "c")
    interest.unfollow("bob", "c")
    interest.leave("nobody")
    assert (len(interest), interest.log("c"), begun) == (0, None, ["c"])


def test_how_far_other_logs_have_come_is_remembered_of_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interest_module, "PASSED_LOGS", 2)
    interest = Interest()
    for name, seq in (("a", 5), ("b", 6), ("a", 4), ("c", 7)):
        interest.pass_by(name, seq)
    assert [interest.follow("alice", name, 1).target for name in "abc"] == [5, 1, 7]
