"""How often Python looks for reference cycles."""

import gc

YOUNG = 20_000
"""Objects more than there were, before the young ones are looked through. Python's own number is 700."""


def look_for_cycles_rarely() -> None:
    """Leave what is there out of it from now on, and look for cycles when it is worth while.

    Hundreds of commands under way are thousands of objects that are about to go by themselves. With Python's own
    thresholds each batch has them looked through several times, and everything that lives long with them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
