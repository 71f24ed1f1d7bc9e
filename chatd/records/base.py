"""What all rows have in common."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all rows."""


class Effect(Record, frozen=True, kw_only=True, gc=False):
    """Base of what a change does besides standing in its log: it writes a row of another table, in its transaction.

    Such a row is only ever changed by changes of one log, whose lock guards it. Each kind has a writer in every store.
    """


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="signal"):
    """Base of what workers tell each other in passing. It may be lost: whoever acts on it also finds out otherwise."""
