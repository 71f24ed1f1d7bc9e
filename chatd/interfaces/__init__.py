"""The seams. Those of the store have a memory twin; both are held to one contract suite in ``tests/contract``.

Whatever asks these may be told :exc:`~chatd.errors.Unavailable`, :exc:`~chatd.errors.Overloaded` or
:exc:`~chatd.errors.OutcomeUnknown`: the first two mean that nothing was changed.
"""
