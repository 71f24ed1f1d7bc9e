"""A product that decides itself who may contact whom, asked by the real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.people import Person
from tests.kit.product import Product, running
from tests.kit.server import Sections
from tests.kit.settings import private

SECRET = "s3cret-of-the-product"


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with running() as product:
        yield product


@pytest.fixture(scope="module")
def settings(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Sections:
    folder: Path = tmp_path_factory.mktemp("secrets")
    secret = private(folder / "secret", SECRET)
    return {
        "contacts": {
            "policy": "ask",
            "url": product.url,
            "secret_file": str(secret),
            "timeout": 1.0,
            "cache_seconds": 0.0,
        }
    }


def test_only_whom_the_product_allows_opens_a_conversation(product: Product, alice: Person, bob: Person) -> None:
    product.asked.clear()
    with alice.connect() as hers, bob.connect() as his:
        refused = hers.ask("message.send", client_id="1", to=bob.name, text="hi")
        assert (refused["error"]["code"], refused["error"]["status"]) == ("forbidden", 403)
        assert his.sync() == []
        product.allowed.add((alice.name, bob.name))
        # A refusal is no change: the same client_id may be tried again.
        assert hers.ask("message.send", client_id="1", to=bob.name, text="hi")["seq"] == 1
        question = {"user": alice.name, "other": bob.name, "purpose": "direct"}
        assert product.asked == [(question, f"Bearer {SECRET}")] * 2
        product.allowed.clear()
        assert his.ask("message.send", client_id="2", to=alice.name, text="hello")["seq"] == 2
        assert len(product.asked) == 2


@pytest.mark.parametrize("fault", ["HTML", "an empty 200", "huge", "redirect", "silence"])
def test_while_the_product_gives_no_answer_nobody_new_is_written_to(
    product: Product, alice: Person, bob: Person, fault: str
) -> None:
    """Fault 23."""
    product.allowed.add((alice.name, bob.name))
    product.fault = fault
    try:
        refused = alice.http().post("/v1/messages", client_id="1", to=bob.name, text="hi")
        assert (refused.status, refused.body["code"], refused.body["retryable"]) == (503, "unavailable", True)
        assert refused.headers["Retry-After"] == "1"
    finally:
        product.fault = None
    assert alice.http().post("/v1/messages", client_id="1", to=bob.name, text="hi").body["seq"] == 1
