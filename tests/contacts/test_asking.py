"""The product asked over HTTP: only a sound answer counts, and nothing that it does holds up more than its question."""

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.threads import deferToThread

from chatd.contacts import asking
from chatd.contacts.asking import AskedContacts
from chatd.errors import Unavailable
from chatd.settings.base import Secret
from chatd.settings.model import Contacts
from tests.kit.ports import reserve_port
from tests.kit.product import FAULTS, UNSOUND, Product, running
from tests.kit.until import until
from tests.kit.waiting import WITHIN_S


@pytest.fixture
def product() -> Iterator[Product]:
    with running() as product:
        product.allowed.add(("alice", "bob"))
        yield product


def asker(product: Product, **settings: object) -> AskedContacts:
    return AskedContacts(Contacts(policy="ask", url=product.url, **settings), reactor)  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_the_question_says_who_wants_what_of_whom_and_shows_the_secret(product: Product) -> None:
    assert await asker(product, secret=Secret("s3cret")).allows("alice", "bob", "invitation")
    assert not await asker(product).allows('böb "1"', "😀", "direct")
    assert product.asked == [
        ({"user": "alice", "other": "bob", "purpose": "invitation"}, "Bearer s3cret"),
        ({"user": 'böb "1"', "other": "😀", "purpose": "direct"}, None),
    ]


@pytest.mark.parametrize("fault", [*UNSOUND, *FAULTS])
@pytest_twisted.ensureDeferred
async def test_what_is_no_answer_allows_nothing(product: Product, fault: str) -> None:
    """Faults 22 and 23."""
    contacts = asker(product, timeout=1.0 if fault not in ("silence", "drip", "stuck body") else 0.3)
    product.fault = fault
    with pytest.raises(Unavailable, match="cannot be found out now") as caught:
        await contacts.allows("alice", "bob", "direct")
    assert (caught.value.retryable, caught.value.retry_after_ms) == (True, 1000)
    assert product.redirected == 0
    product.fault = None
    assert await contacts.allows("alice", "bob", "direct")


@pytest.mark.parametrize("fault", ["HTML", "silence"])
@pytest_twisted.ensureDeferred
async def test_the_operator_may_have_it_allowed_instead(product: Product, fault: str) -> None:
    contacts = asker(product, timeout=0.3, when_down="allow")
    product.fault = fault
    assert await contacts.allows("carol", "bob", "direct")
    product.fault = None
    # That was no answer, and is not kept as one.
    assert not await contacts.allows("carol", "bob", "direct")


@pytest_twisted.ensureDeferred
async def test_where_nobody_listens_it_is_refused_at_once() -> None:
    with reserve_port() as port:
        url = f"http://127.0.0.1:{port.getsockname()[1]}/"
        with pytest.raises(Unavailable):
            await AskedContacts(Contacts(policy="ask", url=url, timeout=30.0), reactor).allows("a", "b", "direct")


@pytest_twisted.ensureDeferred
async def test_a_connection_that_stalls_is_cut(product: Product) -> None:
    product.fault = "stuck body"
    with pytest.raises(Unavailable):
        await asker(product, timeout=0.3).allows("alice", "bob", "direct")
    assert await deferToThread(product.gone.wait, WITHIN_S)


@pytest_twisted.ensureDeferred
async def test_an_answer_holds_for_as_long_as_the_operator_says(product: Product) -> None:
    contacts = asker(product, cache_seconds=3600.0)
    for _ in range(3):
        assert await contacts.allows("alice", "bob", "direct")
        assert not await contacts.allows("alice", "carol", "direct")
    assert len(product.asked) == 2
    # Another purpose is another question.
    await contacts.allows("alice", "bob", "invitation")
    assert len(product.asked) == 3
    forgetful = asker(product, cache_seconds=0.0)
    for _ in range(3):
        await forgetful.allows("alice", "bob", "direct")
    assert len(product.asked) == 6


@pytest_twisted.ensureDeferred
async def test_no_more_answers_are_kept_than_there_is_room_for(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "REMEMBERED", 2)
    contacts = asker(product, cache_seconds=3600.0)
    for other in ("1", "2", "3", "3", "2", "1"):
        await contacts.allows("alice", other, "direct")
    assert [question["other"] for question, _ in product.asked] == ["1", "2", "3", "1"]


@pytest_twisted.ensureDeferred
async def test_few_questions_are_under_way_at_once_and_the_others_wait(product: Product) -> None:
    product.fault = "slow"
    contacts = asker(product, max_in_flight=2, timeout=30.0)
    asked = [Deferred.fromCoroutine(contacts.allows(str(n), "bob", "direct")) for n in range(8)]
    assert await gatherResults(asked) == [False] * 8
    assert len(product.asked) == 8
    assert product.most_under_way <= 2


@pytest_twisted.ensureDeferred
async def test_who_waits_behind_a_product_that_is_silent_waits_no_longer_than_others(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "WAITING", 3)
    product.fault = "silence"
    contacts = asker(product, max_in_flight=1, timeout=0.3)
    began = reactor.seconds()  # type: ignore[attr-defined]
    asked = [Deferred.fromCoroutine(contacts.allows(str(n), "bob", "direct")) for n in range(6)]
    # Beyond those who may wait, nobody does.
    assert [one.called for one in asked] == [False] * 4 + [True] * 2
    for one in asked:
        with pytest.raises(Unavailable):
            await one
    assert reactor.seconds() - began < 10  # type: ignore[attr-defined]
    assert len(product.asked) == 1
    product.fault = None
    assert await contacts.allows("alice", "bob", "direct")


# -- TLS --


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, Certificate]:
    """What 127.0.0.1 serves with, which signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=36500))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    signed = builder.sign(key, hashes.SHA256())
    pem = signed.public_bytes(Encoding.PEM)
    path = tmp_path / "served.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, Certificate.loadPEM(pem)


@pytest_twisted.ensureDeferred
async def test_a_certificate_must_be_trusted_and_be_the_hosts(
    certificate: tuple[ssl.SSLContext, Certificate],
) -> None:
    context, own = certificate
    with running(tls=context) as product:
        product.allowed.add(("alice", "bob"))
        named, numbered = product.url.replace("127.0.0.1", "localhost"), product.url
        for url, trusted, allowed in ((named, [own], True), (named, None, False), (numbered, [own], False)):
            root = None if trusted is None else trustRootFromCertificates(trusted)
            contacts = AskedContacts(Contacts(policy="ask", url=url, timeout=10.0), reactor, trust_root=root)
            if allowed:
                assert await contacts.allows("alice", "bob", "direct")
            else:
                with pytest.raises(Unavailable):
                    await contacts.allows("alice", "bob", "direct")
        assert len(product.asked) == 1


@pytest_twisted.ensureDeferred
async def test_a_connection_over_tls_that_stalls_is_cut_too(certificate: tuple[ssl.SSLContext, Certificate]) -> None:
    context, own = certificate
    with running(tls=context) as product:
        product.fault = "stuck body"
        settings = Contacts(policy="ask", url=product.url.replace("127.0.0.1", "localhost"), timeout=0.5)
        contacts = AskedContacts(settings, reactor, trust_root=trustRootFromCertificates([own]))
        with pytest.raises(Unavailable):
            await contacts.allows("alice", "bob", "direct")
        await until(product.gone.is_set)
