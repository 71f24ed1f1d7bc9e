"""Whether anybody is there."""

from tests.kit.world import NOON, Chat


def test_a_ping_is_answered_with_the_servers_clock(chat: Chat) -> None:
    assert chat.http("alice").ask("ping").time == NOON
