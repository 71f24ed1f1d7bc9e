"""Driving lanes: as fast as they come back, or at a given pace."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from bench.errors import Violation
from bench.figures import Latency, latency
from bench.lanes import Lane, Samples
from bench.poller import Poller
from bench.processes import Meter, Share

SETTLES_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One window of a load. ``shares`` is what each process used, in cores."""

    messages: int
    seconds: float
    ack: Latency | None
    delivery: Latency | None
    shares: tuple[Share, ...]

    @property
    def rate(self) -> float:
        """Messages per second that came through."""
        return self.messages / self.seconds


class Load:
    """Lanes under load; what they measure goes into ``samples``. Raises Violation for what must not come back."""

    def __init__(self, lanes: Sequence[Lane], samples: Samples, meter: Meter) -> None:
        self._lanes = lanes
        self._samples = samples
        self._meter = meter
        self._touched: set[Lane] = set()
        self._poller = Poller()
        for lane in lanes:
            for connection, read in lane.readers:
                self._poller.watch(connection, self._touching(lane, read))

    def _touching(self, lane: Lane, read: Callable[[], None]) -> Callable[[], None]:
        touch = self._touched.add

        def callback() -> None:
            read()
            touch(lane)

        return callback

    def closed(self, in_flight: int, *, warm_up: float, seconds: float, lanes: int | None = None) -> Measured:
        """Keep so many messages under way on each of the first ``lanes`` lanes; the next goes when one is through."""
        used = self._lanes[:lanes]
        with self._running():
            self._refill(used, in_flight)
            self._keep_full(in_flight, warm_up)
            measured = self._measure(used, lambda: self._keep_full(in_flight, seconds))
        return measured

    def paced(self, rate: float, *, warm_up: float, seconds: float) -> Measured:
        """Send ``rate`` messages a second whatever comes back, each at its time; latencies count from that time."""
        with self._running():
            self._keep_pace(rate, warm_up)
            measured = self._measure(self._lanes, lambda: self._keep_pace(rate, seconds))
        return measured

    def exactly(self, count: int, in_flight: int, *, within: float) -> None:
        """Send so many messages on each lane; raises Violation if they are not through ``within`` so many seconds."""
        deadline = perf_counter() + within
        targets = {lane: lane.sent + count for lane in self._lanes}
        self._touched.update(self._lanes)
        while not all(lane.settled and lane.sent == targets[lane] for lane in self._lanes):
            now = perf_counter()
            if now > deadline:
                missing = sum(target - lane.completed for lane, target in targets.items())
                raise Violation(f"{missing} messages are not through after {within:.0f} s")
            for lane in self._touched:
                room = min(in_flight - lane.sent + lane.completed, targets[lane] - lane.sent)
                if room > 0:
                    lane.send(room, now)
            self._touched.clear()
            self._poller.wait(0.1)

    def close(self) -> None:
        """Stop watching the lanes' connections."""
        self._poller.close()

    def _measure(self, lanes: Sequence[Lane], run: Callable[[], None]) -> Measured:
        self._samples.clear()
        before, usage, begun = _completed(lanes), self._meter.read(), perf_counter()
        run()
        seconds = perf_counter() - begun
        shares = self._meter.shares(usage, seconds)
        messages = _completed(lanes) - before
        ack, delivery = latency(self._samples.acks), latency(self._samples.deliveries)
        return Measured(messages, seconds, ack, delivery, shares)

    @contextmanager
    def _running(self) -> Iterator[None]:
        """No garbage collection while it runs, and everything through at its end."""
        gc.collect()
        gc.disable()
        try:
            yield
            self._settle()
        finally:
            gc.enable()

    def _keep_full(self, in_flight: int, seconds: float) -> None:
        touched, wait, end = self._touched, self._poller.wait, perf_counter() + seconds
        while perf_counter() < end:
            wait(0.1)
            self._refill(touched, in_flight)
            touched.clear()

    def _refill(self, lanes: Sequence[Lane] | set[Lane], in_flight: int) -> None:
        now = perf_counter()
        for lane in lanes:
            room = in_flight - lane.sent + lane.completed
            if room > 0:
                lane.send(room, now)

    def _keep_pace(self, rate: float, seconds: float) -> None:
        lanes, count = self._lanes, len(self._lanes)
        begun, sent, total = perf_counter(), 0, int(rate * seconds)
        while sent < total:
            due = min(total, int((perf_counter() - begun) * rate) + 1)
            for number in range(sent, due):
                lanes[number % count].send(1, begun + number / rate)
            sent = due
            self._poller.wait_finely(max(0.0, begun + sent / rate - perf_counter()))
        self._touched.clear()

    def _settle(self) -> None:
        deadline = perf_counter() + SETTLES_WITHIN_S
        while not all(lane.settled for lane in self._lanes):
            if perf_counter() > deadline:
                missing = sum(lane.sent - lane.completed for lane in self._lanes)
                raise Violation(f"{missing} messages are not through {SETTLES_WITHIN_S:.0f} s after the load")
            self._poller.wait(0.1)
        self._touched.clear()


def _completed(lanes: Sequence[Lane]) -> int:
    return sum(lane.completed for lane in lanes)
