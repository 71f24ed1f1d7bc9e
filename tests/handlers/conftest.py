"""A worker for each test of its handlers."""

import pytest

from tests.kit.world import Asker, Chat


@pytest.fixture
def chat() -> Chat:
    return Chat()


@pytest.fixture
def alice(chat: Chat) -> Asker:
    return chat.http("alice")


@pytest.fixture
def bob(chat: Chat) -> Asker:
    return chat.http("bob")
