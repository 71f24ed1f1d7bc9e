"""From samples to the figures that are reported."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one window, in milliseconds."""

    p50: float
    p99: float
    max: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of these values, given in ascending order, that ``share`` of them do not exceed (nearest rank)."""
    rank = -int(-share * len(ordered) // 1)
    return ordered[max(rank, 1) - 1]


def latency(seconds: Sequence[float]) -> Latency | None:
    """The latencies' summary, or None where there are none."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return Latency(p50=percentile(ordered, 0.5) * 1e3, p99=percentile(ordered, 0.99) * 1e3, max=ordered[-1] * 1e3)


def median(values: Sequence[float]) -> float | None:
    """The median, or None where there is nothing."""
    return statistics.median(values) if values else None


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """How many times ``theirs`` is ``ours``; None where one of them is missing or there is nothing to compare with."""
    return None if ours is None or not theirs else ours / theirs
