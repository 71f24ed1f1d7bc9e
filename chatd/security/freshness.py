"""How long fetched keys are good for, and when to fetch again. Times are in seconds, ``jitter`` is from 0 to 1."""

import re
from typing import Final

SHORTEST: Final = 60.0
LONGEST: Final = 86_400.0
"""Between these is kept what an auth service says of the age of its keys."""
USUAL: Final = 300.0
"""For keys of which nothing is said."""
FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 60.0

_MAX_AGE = re.compile(r'max-age="?([0-9]{1,10})"?', re.IGNORECASE)


def lifetime(cache_control: str) -> float:
    """How long what came with this ``Cache-Control`` is good for (RFC 9111, section 5.2.2).

    Of several ages the least counts. What must not be kept at all is kept for the shortest time.
    """
    directives = [directive.strip() for directive in cache_control.split(",")]
    if any(directive.partition("=")[0].lower() in ("no-store", "no-cache") for directive in directives):
        return SHORTEST
    ages = [float(match[1]) for directive in directives if (match := _MAX_AGE.fullmatch(directive))]
    return min(max(min(ages), SHORTEST), LONGEST) if ages else USUAL


def refresh_after(seconds: float, jitter: float) -> float:
    """When to fetch what is good for so many seconds: before they are over, and not all workers at once."""
    return seconds * (0.75 + 0.2 * jitter)


def retry_after(failures: int, jitter: float) -> float:
    """When to try again after so many failures in a row."""
    return min(FIRST_RETRY * 2.0 ** min(failures - 1, 16), LAST_RETRY) * (0.5 + 0.5 * jitter)
