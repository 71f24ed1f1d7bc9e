"""Keys are fetched before they are too old, when one is missing, never in a loop; and kept while they cannot be had."""

import json

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.auth.fetched_keys import GAP_SECONDS, FetchedKeys, by_discovery, from_url
from chatd.auth.outbound import Answer, AuthServiceFailed
from chatd.errors import Unavailable
from chatd.security.freshness import LAST_RETRY, SHORTEST, USUAL
from chatd.security.tokens import SigningKey
from tests.kit.at_once import at_once, watch

ISSUER = "https://auth.example.com"
KEYS = [SigningKey(bytes([n] * 32)) for n in range(3)]
NONSENSE = [b"", b"<html></html>", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', b"\xff"]


def published(key, cache_control=""):
    return Answer(body=key.public_jwks(), cache_control=cache_control)


class Service:
    """Answers by ``says``, which is an Answer, an error, or a Deferred."""

    def __init__(self):
        self.clock, self.learned, self.asked, self.says = Clock(), [], 0, published(KEYS[0])
        self.keys = FetchedKeys(ISSUER, self.fetch, self.learned.append, self.clock, jitter=lambda: 1.0)

    async def fetch(self):
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return await self.says if isinstance(self.says, Deferred) else self.says

    @property
    def kids(self):
        return [keys.keys[0].kid for keys in self.learned]


@pytest.fixture
def service():
    service = Service()
    yield service
    service.keys.stop()
    assert service.clock.getDelayedCalls() == []


def test_they_are_fetched_at_the_start_and_again_before_they_are_over(service):
    service.says = published(KEYS[0], "max-age=1000")
    service.keys.start()
    assert service.kids == [KEYS[0].kid]
    service.says = published(KEYS[1])
    service.clock.advance(949)
    assert service.asked == 1
    service.clock.advance(1)
    assert service.kids == [KEYS[0].kid, KEYS[1].kid]
    service.clock.advance(0.95 * USUAL)
    assert service.asked == 3
    assert (service.keys.fetches, service.keys.failures) == (3, 0)


def test_a_service_that_wants_to_be_asked_all_the_time_is_not(service):
    service.says = published(KEYS[0], "no-store")
    service.keys.start()
    service.clock.advance(0.95 * SHORTEST - 1)
    assert service.asked == 1


@pytest.mark.parametrize("body", NONSENSE)
def test_nonsense_takes_nothing_away(body, service):
    service.keys.start()
    service.says = Answer(body=body, cache_control="max-age=86400")
    service.clock.advance(USUAL)
    assert (service.asked, service.kids) == (2, [KEYS[0].kid])
    service.says = published(KEYS[1])
    service.clock.advance(1)
    assert service.kids == [KEYS[0].kid, KEYS[1].kid]


def test_a_service_that_is_down_is_asked_less_and_less_often(service):
    service.says = AuthServiceFailed("down")
    service.keys.start()
    asked = []
    for _ in range(8):
        before = service.clock.seconds()
        while service.asked == len(asked) + 1:
            service.clock.advance(1)
        asked.append(service.clock.seconds() - before)
    assert asked == [1, 2, 4, 8, 16, 32, LAST_RETRY, LAST_RETRY]
    assert service.keys.failures == 9
    service.says = published(KEYS[0])
    service.clock.advance(LAST_RETRY)
    assert service.kids == [KEYS[0].kid]


def test_what_was_not_foreseen_is_a_failure_like_others(service):
    service.says = ZeroDivisionError()
    service.keys.start()
    with pytest.raises(Unavailable):
        at_once(service.keys.missing())
    service.says = published(KEYS[0])
    service.clock.advance(USUAL)
    assert service.kids == [KEYS[0].kid]


def test_a_missing_key_has_them_fetched_once_for_all_who_miss_it(service):
    service.keys.start()
    service.clock.advance(GAP_SECONDS)
    service.says = Deferred()
    waiting = [watch(service.keys.missing()) for _ in range(3)]
    assert service.asked == 2
    assert not any(one.ended for one in waiting)
    service.says.callback(published(KEYS[1]))
    assert [one.result for one in waiting] == [None] * 3
    assert service.kids == [KEYS[0].kid, KEYS[1].kid]


def test_nobody_can_have_them_fetched_in_a_loop(service):
    service.keys.start()
    service.clock.advance(1)
    for _ in range(1000):
        with pytest.raises(Unavailable) as caught:
            at_once(service.keys.missing())
    assert caught.value.retry_after_ms == (GAP_SECONDS - 1) * 1000
    assert service.asked == 1
    service.clock.advance(GAP_SECONDS - 1)
    at_once(service.keys.missing())
    assert service.asked == 2


def test_where_they_cannot_be_had_there_is_no_verdict(service):
    service.keys.start()
    service.clock.advance(GAP_SECONDS)
    service.says = AuthServiceFailed("down")
    with pytest.raises(Unavailable) as caught:
        at_once(service.keys.missing())
    assert caught.value.retryable
    assert service.kids == [KEYS[0].kid]


def test_they_are_fetched_on_demand_before_the_start_and_not_after_the_end(service):
    at_once(service.keys.missing())
    assert service.kids == [KEYS[0].kid]
    service.keys.start()
    service.keys.stop()
    service.clock.advance(1000)
    assert service.asked == 2


def test_what_is_under_way_at_the_start_is_not_asked_twice(service):
    service.says = Deferred()
    missing = watch(service.keys.missing())
    service.keys.start()
    service.says.callback(published(KEYS[0]))
    assert (missing.result, service.asked) == (None, 1)


class Pages:
    """What stands at which address."""

    def __init__(self, **pages):
        self.pages, self.asked = pages, []

    async def get(self, url, *, timeout):
        self.asked.append(url)
        return Answer(body=self.pages[url.rpartition("/")[2].replace("-", "_")], cache_control="")


def described(issuer=ISSUER, jwks_uri="https://keys.example.com/jwks", **members):
    return json.dumps({"issuer": issuer, "jwks_uri": jwks_uri, **members}).encode()


def test_an_address_that_is_configured_is_asked():
    pages = Pages(k=b"x")
    assert at_once(from_url(pages, "https://a/k")()).body == b"x"


@pytest.mark.parametrize("issuer", [ISSUER, ISSUER + "/", ISSUER + "/tenant/"])
def test_discovery_leads_to_the_keys(issuer):
    pages = Pages(openid_configuration=described(issuer), jwks=b"x")
    assert at_once(by_discovery(pages, issuer)()).body == b"x"
    assert pages.asked == [issuer.rstrip("/") + "/.well-known/openid-configuration", "https://keys.example.com/jwks"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "not one strict JSON object"),
        (described("https://auth.example.com/"), "another issuer's"),
        (described("HTTPS://auth.example.com"), "another issuer's"),
        (b'{"jwks_uri": "https://a/jwks"}', "another issuer's"),
        (described(jwks_uri=7), "none that may be fetched"),
        (described(jwks_uri="file:///etc/passwd"), "none that may be fetched"),
        (described(jwks_uri="http://keys.example.com/jwks"), "none that may be fetched"),
        (described(jwks_uri="http://127.0.0.1/jwks"), "leads away from https"),
    ],
)
def test_discovery_that_leads_elsewhere_is_not_followed(body, reason):
    pages = Pages(openid_configuration=body)
    with pytest.raises(AuthServiceFailed, match=reason):
        at_once(by_discovery(pages, ISSUER)())
    assert len(pages.asked) == 1


def test_on_this_machine_neither_needs_tls():
    pages = Pages(openid_configuration=described("http://localhost:1", "http://localhost:1/jwks"), jwks=b"x")
    assert at_once(by_discovery(pages, "http://localhost:1")()).body == b"x"
