"""Whoever answers in Redis' place has to prove that it is Redis."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions

from chatd.redis.address import RedisAddress, endpoint

START = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


class Certified:
    """A key, and a certificate for ``name`` that it signed itself."""

    def __init__(self, name: str, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(
            subject, subject, key.public_key(), x509.random_serial_number(), START, START + datetime.timedelta(36500)
        )
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        certificate = builder.sign(key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(key), certificate=crypto.X509.from_cryptography(certificate)
        )


class Greets(Protocol):
    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"+OK\r\n")


class Meets(Protocol):
    """Hears what is said first: b"" where the connection ends before that."""

    def __init__(self) -> None:
        self.met: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.met.callback(data)
        assert self.transport is not None
        self.transport.abortConnection()

    def connectionLost(self, reason: object = None) -> None:
        if not self.met.called:
            self.met.callback(b"")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[Certified, int]]:
    certified = Certified("localhost", tmp_path)
    port = reactor.listenSSL(0, Factory.forProtocol(Greets), certified.options, interface="127.0.0.1")
    yield certified, port.getHost().port
    pytest_twisted.blockon(port.stopListening())


async def greeting(host: str, port: int, ca_file: Path | str) -> bytes:
    address = RedisAddress(host=host, port=port, tls=True)
    protocol = await endpoint(reactor, address, str(ca_file)).connect(Factory.forProtocol(Meets))
    return await protocol.met


@pytest_twisted.ensureDeferred
async def test_it_is_spoken_to_where_its_certificate_holds(redis: tuple[Certified, int]) -> None:
    certified, port = redis
    assert await greeting("localhost", port, certified.file) == b"+OK\r\n"


@pytest_twisted.ensureDeferred
async def test_it_is_not_where_somebody_else_certified_it(redis: tuple[Certified, int], tmp_path: Path) -> None:
    _, port = redis
    assert await greeting("localhost", port, Certified("other", tmp_path).file) == b""
    assert await greeting("localhost", port, "") == b"", "the system does not trust it"


@pytest_twisted.ensureDeferred
async def test_it_is_not_where_the_certificate_is_another_hosts(redis: tuple[Certified, int]) -> None:
    certified, port = redis
    assert await greeting("127.0.0.1", port, certified.file) == b""
