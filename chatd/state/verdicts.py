"""What auth services have said about tokens of late."""

from collections import OrderedDict

from chatd.records.base import Record
from chatd.records.tokens import Claims


class Verdict(Record, frozen=True, kw_only=True, gc=False):
    """An auth service's word on a token, as of ``at`` (seconds of the worker's monotonic clock).

    ``user`` is whom it says the token speaks for, if it does. ``claims`` are there if its word makes a token that
    holds by itself.
    """

    active: bool
    at: float
    user: str | None = None
    claims: Claims | None = None


class Verdicts:
    """The latest verdicts by the digest of their tokens; ``capacity`` bounds the good ones and the bad ones apart.

    So nobody can displace the verdicts on living connections by showing what is no token. Those least looked at go
    first; about 500 bytes each.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._good: OrderedDict[bytes, Verdict] = OrderedDict()
        self._bad: OrderedDict[bytes, Verdict] = OrderedDict()

    def __len__(self) -> int:
        return len(self._good) + len(self._bad)

    def get(self, digest: bytes) -> Verdict | None:
        """The latest verdict."""
        for kept in (self._good, self._bad):
            verdict = kept.get(digest)
            if verdict is not None:
                kept.move_to_end(digest)
                return verdict
        return None

    def keep(self, digest: bytes, verdict: Verdict) -> None:
        """Remember a verdict in the place of the one before it."""
        self._good.pop(digest, None)
        self._bad.pop(digest, None)
        kept = self._good if verdict.active else self._bad
        kept[digest] = verdict
        if len(kept) > self._capacity:
            kept.popitem(last=False)
