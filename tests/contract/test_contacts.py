"""What is promised of asking the product, whoever answers for it."""

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from zope.interface.verify import verifyObject

from chatd.contacts.asking import AskedContacts
from chatd.contacts.memory import MemoryContacts
from chatd.errors import Unavailable
from chatd.interfaces.people import IContacts
from chatd.settings.model import Contacts
from tests.kit.product import running


class Asked:
    """The product behind each implementation: who is allowed, and whether it can be reached."""

    def __init__(self, contacts: Any, allow: Any, fail: Any) -> None:
        self.contacts = contacts
        self.allow = allow
        self.fail = fail


@pytest.fixture(params=["memory", "http"])
def asked(request: pytest.FixtureRequest) -> Iterator[Asked]:
    if request.param == "memory":
        memory = MemoryContacts()
        yield Asked(memory, lambda *pair: memory.allowed.add(pair), lambda: setattr(memory, "down", True))
        return
    with running() as product:
        contacts = AskedContacts(Contacts(policy="ask", url=product.url, cache_seconds=0), reactor)
        yield Asked(contacts, lambda *pair: product.allowed.add(pair), lambda: setattr(product, "fault", "hang up"))


def test_it_is_what_it_says(asked: Asked) -> None:
    assert verifyObject(IContacts, asked.contacts)


@pytest_twisted.ensureDeferred
async def test_the_product_allows_one_to_contact_another_and_not_the_other_way(asked: Asked) -> None:
    asked.allow("alice", "bob")
    assert await asked.contacts.allows("alice", "bob", "direct") is True
    assert await asked.contacts.allows("bob", "alice", "direct") is False
    assert await asked.contacts.allows("alice", "carol", "invitation") is False


@pytest_twisted.ensureDeferred
async def test_where_it_does_not_answer_the_question_may_be_asked_again(asked: Asked) -> None:
    asked.allow("alice", "bob")
    asked.fail()
    with pytest.raises(Unavailable):
        await asked.contacts.allows("alice", "bob", "direct")
