"""What operators are told about the auth services."""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.auth.condition import auth_services
from chatd.auth.fetched_keys import FetchedKeys
from chatd.auth.identity import Identity
from chatd.auth.outbound import Answer, AuthServiceFailed
from chatd.records.condition import FINE, Dependency
from chatd.security.breaker import LIMIT, Breaker
from chatd.security.tokens import SigningKey


@dataclass
class Asked:
    """As much of an introspection as is looked at."""

    breaker: Breaker


@dataclass
class Issuers:
    """Two whose keys are fetched and one that is asked about tokens."""

    clock: Clock = field(default_factory=Clock)
    down: bool = False

    def __post_init__(self) -> None:
        self.sources = {
            name: FetchedKeys(name, self.fetch, lambda keys: None, self.clock, jitter=lambda: 0.0) for name in "ab"
        }
        self.asked = Asked(Breaker(self.clock.seconds))

    async def fetch(self) -> Answer:
        if self.down:
            raise AuthServiceFailed("it is away")
        return Answer(body=SigningKey.generate().public_jwks(), cache_control="max-age=60")

    def start(self) -> None:
        for source in self.sources.values():
            source.start()

    def told(self, **left_out: Any) -> Dependency | None:
        parts: dict[str, Any] = {"sources": self.sources, "introspections": {"c": self.asked}} | left_out
        return auth_services(Identity(verifier=None, hang_up=Deferred, **parts))  # type: ignore[arg-type]


def test_where_nobody_is_asked_nothing_is_told() -> None:
    nobody: MappingProxyType[str, Any] = MappingProxyType({})
    assert Issuers().told(sources=nobody, introspections=nobody) is None


def test_keys_that_were_never_had_are_missed_until_they_come() -> None:
    issuers = Issuers(down=True)
    issuers.start()
    assert issuers.told() == Dependency(state="unavailable", detail="the keys of 2 of 2 issuers are not known")
    issuers.down = False
    issuers.clock.pump([1.0] * 120)
    assert issuers.told() == FINE


def test_keys_that_cannot_be_fetched_again_go_on_to_count() -> None:
    issuers = Issuers()
    issuers.start()
    assert issuers.told() == FINE
    issuers.down = True
    issuers.clock.pump([1.0] * 600)
    told = issuers.told()
    assert told is not None
    assert (told.state, told.detail) == (
        "degraded",
        "the keys of 2 of 2 issuers cannot be fetched; those known go on to count",
    )


def test_an_issuer_that_does_not_answer_is_told_of_until_it_does() -> None:
    issuers = Issuers()
    issuers.start()
    for _ in range(LIMIT):
        issuers.asked.breaker.failed()
    told = issuers.told()
    assert told == Dependency(state="degraded", detail="1 of 1 issuers do not answer questions about tokens")
    issuers.asked.breaker.succeeded()
    assert issuers.told() == FINE
