"""Token buckets: how much somebody may have for long, and how much at once.

A bucket holds at most ``burst`` tokens and gains ``per_second``. Whoever wants something takes what it costs, or is
refused and takes nothing. So in any time t no more than ``burst + per_second * t`` is had.

What is kept of a bucket is when it will be full again: the theoretical arrival time of the generic cell rate algorithm
(ITU-T I.371, annex A), under which it is the same thing. A bucket that is full is like one that has never been used,
so it can be forgotten.

Times are seconds on any clock that only moves forward; whoever calls gives them.
"""

import re
from math import ceil, inf
from typing import Final, Self

from chatd.errors import RateLimited
from chatd.records.base import Record
from chatd.settings.rates import RATE

TOLERANCE: Final = 1e-6
"""Seconds that are too short to wait for; what floating point loses, on a clock of some years, is less."""

SHARE: Final = 1 / 20
"""The part of a burst above which what somebody has had here is worth telling elsewhere."""

DEBT: Final = 8.0
"""How many bursts a bucket can be below empty, for what was had elsewhere."""

CAPACITY: Final = 50_000
"""How many buckets a table holds; each takes some 250 bytes."""

_RATE: Final = re.compile(RATE)


class Rate(Record, frozen=True, kw_only=True, gc=False):
    """So many tokens at once, and so many a second."""

    burst: float
    per_second: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """What stands in the settings, which have checked its shape; ``off`` is a rate without bounds."""
        match = _RATE.match(text)
        if match is None:
            raise ValueError(f"{text!r} is no rate")
        if text == "off":
            return cls(burst=inf, per_second=inf)
        return cls(burst=float(match[5]), per_second=float(match[3]))

    @property
    def bounded(self) -> bool:
        """Whether it is a limit at all."""
        return self.burst < inf


class Bucket:
    """When it will be full again, and how much was taken that nobody else was told of."""

    __slots__ = ("full_at", "untold")

    def __init__(self) -> None:
        self.full_at = -inf
        self.untold = 0


class Limit:
    """One rate, for buckets that others keep. ``refused`` counts what was not had, since the start."""

    def __init__(self, name: str, rate: Rate) -> None:
        self.name = name
        self.rate = rate
        self.refused = 0
        # Without bounds a token takes no time, and a bucket is always full.
        self._interval = 1.0 / rate.per_second
        self._span = rate.burst * self._interval if rate.bounded else 0.0

    def take(self, bucket: Bucket, cost: int, now: float) -> float:
        """Take ``cost`` tokens. 0.0 if they were there; otherwise how many seconds from now they will be.

        What costs more than a bucket holds takes a full one.
        """
        full_at = bucket.full_at if bucket.full_at > now else now
        taken = cost * self._interval
        filled = full_at + (taken if taken < self._span else self._span)
        wait = filled - now - self._span
        if wait > TOLERANCE:
            self.refused += 1
            return wait
        bucket.full_at = filled
        return 0.0

    def give_back(self, bucket: Bucket, cost: int) -> None:
        """Undo a :meth:`take` that succeeded."""
        bucket.full_at -= min(cost * self._interval, self._span)

    def charge(self, bucket: Bucket, amount: int, now: float) -> None:
        """Take what was had elsewhere, whether it is there or not: a bucket goes :data:`DEBT` bursts below empty."""
        full_at = max(bucket.full_at, now) + amount * self._interval
        bucket.full_at = min(full_at, now + (1 + DEBT) * self._span)

    def standing(self, bucket: Bucket, now: float) -> "Standing":
        """How much is left. To be asked only of a rate with bounds."""
        tokens = self.rate.burst - max(0.0, bucket.full_at - now) * self.rate.per_second
        left = max(0, int(tokens + TOLERANCE))
        full = tokens >= self.rate.burst - TOLERANCE
        next_in = 0 if full else ceil((left + 1 - tokens) * self._interval - TOLERANCE)
        return Standing(limit=self.name, rate=self.rate, left=left, next_in=next_in)

    def refusal(self, detail: str, bucket: Bucket, wait: float, now: float) -> "OverLimit":
        """What is told to whoever has to ``wait`` so many seconds for what :meth:`take` did not find."""
        standing = self.standing(bucket, now)
        # To the next millisecond: whoever comes back then finds enough, unless somebody else took it.
        return OverLimit(f"{detail}: wait, and send it again.", standing, retry_after_ms=int(wait * 1000) + 1)


class Standing(Record, frozen=True, kw_only=True, gc=False):
    """What somebody has left of a limit: whole tokens, and in how many seconds, rounded up, there is one more."""

    limit: str
    rate: Rate
    left: int
    next_in: int


class OverLimit(RateLimited):
    """Refused by a limit, with which the caller has that ``standing``."""

    def __init__(self, detail: str, standing: Standing, *, retry_after_ms: int) -> None:
        super().__init__(detail, retry_after_ms=retry_after_ms)
        self.standing = standing


class KeyedLimit(Limit):
    """One rate, for everybody apart.

    There are two generations of buckets. A bucket that is used is, or comes, into the younger one. When the younger
    one is old enough that whatever lay in the elder has filled up meanwhile, that one is forgotten and the younger
    takes its place. The same happens when the younger one has ``capacity / 2`` buckets: then those that were not used
    for the longest time are forgotten early, and are full to whoever comes back. So memory is bounded, and nothing is
    ever searched; with that many others, each with a burst of their own, a limit on each bounds little anyway.
    """

    def __init__(self, name: str, rate: Rate, *, capacity: int = CAPACITY) -> None:
        super().__init__(name, rate)
        self._half = max(1, capacity // 2)
        self._share = max(1.0, rate.burst * SHARE)
        self._lifetime = (1 + DEBT) * self._span
        self._young: dict[bytes, Bucket] = {}
        self._old: dict[bytes, Bucket] = {}
        self._ages_at = -inf
        self._untold: dict[bytes, Bucket] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def bucket(self, key: bytes, now: float) -> Bucket:
        """The bucket of ``key``: to be looked up each time, since it may be forgotten."""
        found = self._young.get(key)
        if found is None or now >= self._ages_at:
            found = self._admit(key, now)
        return found

    def _admit(self, key: bytes, now: float) -> Bucket:
        if now >= self._ages_at or len(self._young) >= self._half:
            # Nothing that lay untouched for twice its lifetime is anything but full.
            self._old = self._young if now < self._ages_at + self._lifetime else {}
            self._young = {}
            self._ages_at = now + self._lifetime
        found = self._young.get(key) or self._old.pop(key, None) or Bucket()
        self._young[key] = found
        return found

    def take_for(self, key: bytes, cost: int, now: float) -> float:
        """As :meth:`take`, from the bucket of ``key``; what was had is to be told."""
        bucket = self._young.get(key)
        if bucket is None or now >= self._ages_at:
            bucket = self._admit(key, now)
        wait = self.take(bucket, cost, now)
        if not wait:
            self._note(key, bucket, cost)
        return wait

    def _note(self, key: bytes, bucket: Bucket, cost: int) -> None:
        bucket.untold += cost
        # Where nobody asks, as before the database is there, this does not grow either.
        if bucket.untold >= self._share and len(self._untold) < self._half:
            self._untold[key] = bucket

    def give_back_for(self, key: bytes, cost: int, now: float) -> None:
        """Undo a :meth:`take_for` that succeeded."""
        bucket = self.bucket(key, now)
        self.give_back(bucket, cost)
        bucket.untold = max(0, bucket.untold - cost)

    def keep_for(self, key: bytes, cost: int, now: float) -> None:
        """What was only taken from the :meth:`bucket` of ``key``, and could have been given back, is to be told."""
        self._note(key, self.bucket(key, now), cost)

    def tell(self, most: int) -> list[tuple[bytes, int]]:
        """What was had here and not told yet, of ``most`` keys at most, those first that had the largest parts of it.

        What is left out is not forgotten: it is told when it has grown.
        """
        heaviest = sorted(self._untold.items(), key=lambda item: item[1].untold, reverse=True)[:most]
        self._untold.clear()
        told = [(key, bucket.untold) for key, bucket in heaviest]
        for _, bucket in heaviest:
            bucket.untold = 0
        return told
