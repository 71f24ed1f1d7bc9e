"""Keys as they are kept."""

from chatd.records.base import Record


class WrappedKey(Record, frozen=True, kw_only=True, gc=False):
    """A person's data key, wrapped by the master key of that version."""

    user: str
    master: str
    wrapped: bytes


class Rewrapped(Record, frozen=True, kw_only=True, gc=False):
    """A data key as it was read, and the same wrapped anew."""

    before: WrappedKey
    after: WrappedKey
