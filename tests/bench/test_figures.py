"""From samples to figures."""

from bench.figures import Latency, latency, median, percentile, ratio
from bench.findings import Turns, at_least, at_most


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([7.0], 0.99) == 7.0
    hundred = [float(value) for value in range(1, 101)]
    assert percentile(hundred, 0.5) == 50.0
    assert percentile(hundred, 0.99) == 99.0
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0


def test_latencies_are_told_in_milliseconds() -> None:
    assert latency([0.003, 0.001, 0.002]) == Latency(p50=2.0, p99=3.0, max=3.0)
    assert latency([]) is None


def test_what_was_not_measured_has_no_figure() -> None:
    assert median([]) is None
    assert ratio(None, 2.0) is None
    assert ratio(2.0, None) is None
    assert ratio(2.0, 0.0) is None
    assert ratio(1.0, 4.0) == 0.25
    assert at_least(None, 1.0) is None
    assert at_most(None, 1.0) is None
    assert (at_least(1.0, 1.0), at_least(0.9, 1.0)) == (True, False)
    assert (at_most(1.0, 1.0), at_most(1.1, 1.0)) == (True, False)


def test_a_row_compares_the_medians_of_both_sides() -> None:
    turns = Turns()
    for number, (ours, theirs) in enumerate([(1.0, 100.0), (3.0, 4.0), (50.0, 6.0)], 1):
        turns.add(number, "chatd", "part", ours)
        turns.add(number, "echo", "part", theirs)
    turns.add(1, "chatd", "other part", 1000.0)
    row = turns.row("messages/s", "part", lambda figure: figure)
    assert (row.chatd, row.bare, row.ratio) == (3.0, 6.0, 0.5)


def test_a_side_that_was_left_out_leaves_its_column_empty() -> None:
    turns = Turns()
    turns.add(1, "echo", "part", 2.0)
    row = turns.row("messages/s", "part", lambda figure: figure)
    assert (row.chatd, row.bare, row.ratio) == (None, 2.0, None)
