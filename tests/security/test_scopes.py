"""Scopes are read from whatever an auth service writes them in, and only those that chatd knows."""

import pytest

from chatd.security.scopes import ACT, REVOKE, read_scopes


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ((), set()),
        (("chatd:revoke",), {REVOKE}),
        (("openid chatd:revoke chatd:act",), {REVOKE, ACT}),
        ((None, ["chatd:act", "email", 7, None]), {ACT}),
        (("chatd:revoke", "chatd:act"), {REVOKE, ACT}),
        (("chatd:revoker", "chatd:*", "CHATD:REVOKE", "chatd:revoke,chatd:act", "chatd:\tact"), set()),
        ((7, {"chatd:act": 1}, True), set()),
    ],
)
def test_only_what_is_known_counts(claims, scopes):
    assert read_scopes(*claims) == scopes
