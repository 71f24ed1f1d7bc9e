"""Keys are fetched again before they are too old, within bounds that no auth service sets."""

import pytest

from chatd.security.freshness import (
    FIRST_RETRY,
    LAST_RETRY,
    LONGEST,
    SHORTEST,
    USUAL,
    lifetime,
    refresh_after,
    retry_after,
)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", USUAL),
        ("public", USUAL),
        ("max-age=600", 600.0),
        ('Public, Max-Age="600"', 600.0),
        ("max-age=600, max-age=300", 300.0),
        ("max-age=0", SHORTEST),
        ("max-age=9999999999", LONGEST),
        ("max-age=-1", USUAL),
        ("max-age=1e9", USUAL),
        ("max-age=" + "9" * 5000, USUAL),
        ("max-age=600, no-store", SHORTEST),
        ('no-cache="x"', SHORTEST),
        ("s-maxage=7", USUAL),
    ],
)
def test_what_is_said_of_their_age_counts_within_bounds(header, seconds):
    assert lifetime(header) == seconds


def test_they_are_fetched_before_they_are_over_and_not_by_all_at_once():
    assert refresh_after(100.0, 0.0) == 75.0
    assert refresh_after(100.0, 1.0) == pytest.approx(95.0)


def test_retries_come_further_and_further_apart():
    assert [retry_after(n, 1.0) for n in (1, 2, 3)] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert retry_after(10_000, 1.0) == LAST_RETRY
    assert retry_after(1, 0.0) == FIRST_RETRY / 2
