"""The stories of groups, reactions and revisions once more, at a server with a cache in Redis."""

from collections.abc import Iterator

import pytest

from tests.functional.test_groups import (  # noqa: F401
    carol,
    client,
    test_a_group_is_founded_and_talks_while_some_are_away,
    test_who_is_removed_is_told_and_hears_nothing_more_and_resumes_to_there,
)
from tests.functional.test_reactions import (  # noqa: F401
    place,
    test_a_deleted_message_leaves_no_trace_of_the_reactions_to_it,
    test_a_forwarded_message_names_who_said_it_and_is_sent_once,
    test_a_message_hidden_on_one_device_is_hidden_on_all_and_for_nobody_else,
    test_reactions_reach_who_listens_and_who_comes_later,
)
from tests.functional.test_revisions import (  # noqa: F401
    test_a_deleted_message_and_its_edits_leave_no_ciphertext,
    test_an_edit_and_a_deletion_reach_who_listens_and_who_comes_later,
)
from tests.kit.redis import RedisServer
from tests.kit.server import Sections


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def settings(redis: RedisServer) -> Sections:
    return {"cache": {"kind": "redis"}, "redis": {"url": redis.url}}


def test_and_the_cache_was_there(redis: RedisServer) -> None:
    """The last of this module: something is in it by then."""
    assert "chatd:cache:" in redis.ask("KEYS", "chatd:cache:*")
