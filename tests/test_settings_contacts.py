"""Settings of who may contact whom: what can only go wrong later is refused at the start."""

import pytest

from chatd.settings.sources import load
from tests.kit.settings import DEV, refusal

URL = "https://product.example/contacts"


def asking(url: str = URL, **more: str) -> dict[str, str | bool]:
    return {**DEV, "--contacts-policy": "ask", "--contacts-url": url, **more}


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://product.example:8443/contacts?tenant=1",
        "https://10.0.0.1/",
        "http://127.0.0.1:9000/contacts",
        "http://localhost/",
        "http://[::1]:9000/",
    ],
)
def test_the_product_is_asked_over_tls_or_on_this_machine(url: str) -> None:
    assert load(asking(url), {}).contacts.url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://product.example/contacts",
        "http://10.0.0.1/",
        "http://127.0.0.1.example/",
        "http://127.0.0.1@product.example/",
        "https://user:password@product.example/",
        "https://product.example/#part",
        "https://product.example:0/",
        "https://product.example:99999/",
        "https://",
        "https://[::1",
        "https://product.example/a b",
        "https://pröduct.example/",
        "ftp://product.example/",
        "product.example",
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    error = refusal(asking(url), {})
    assert (error.key, error.source) == ("contacts.url", "--contacts-url")
    assert "must be https://" in str(error)


def test_a_policy_that_asks_needs_somebody_to_ask() -> None:
    error = refusal({**DEV, "--contacts-policy": "ask"}, {})
    assert error.key == "contacts.url"
    assert "say where the product is asked" in str(error)


@pytest.mark.parametrize("policy", ["anyone", "followers", "mutual"])
def test_whom_nobody_asks_is_not_set(policy: str) -> None:
    error = refusal({**DEV, "--contacts-policy": policy, "--contacts-url": URL}, {})
    assert error.key == "contacts.url"
    assert "only where contacts.policy is ask" in str(error)


@pytest.mark.parametrize("secret", ["two words", "line\nbreak", "sécret"])
def test_a_secret_that_no_header_can_hold_is_refused_and_not_shown(secret: str) -> None:
    error = refusal(asking(), {"CHATD_CONTACTS_SECRET": secret})
    assert (error.key, error.source) == ("contacts.secret", "CHATD_CONTACTS_SECRET")
    assert secret not in str(error)


def test_a_secret_is_never_a_flag() -> None:
    assert "CHATD_CONTACTS_SECRET" in str(refusal(asking(**{"--contacts-secret": "x"}), {}))
    assert load(asking(), {"CHATD_CONTACTS_SECRET": "x"}).contacts.secret.reveal() == "x"
