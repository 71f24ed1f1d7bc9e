"""A certificate of nobody's, and TLS in memory."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL.crypto import X509, PKey
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, ClientContextFactory
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport, IOPump, connect

PEER = IPv4Address("TCP", "192.0.2.1", 50000)


def server_options() -> CertificateOptions:
    """A fresh key, and a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=36500))
    certificate = builder.sign(key, hashes.SHA256())
    return CertificateOptions(PKey.from_cryptography_key(key), X509.from_cryptography(certificate))


class Received(Protocol):
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True


class MemoryClient:
    """One client of a server in the same process; with ``secure``, TLS lies between them.

    A client that does not shake hands says nothing of its own, and hears TLS.
    """

    def __init__(self, server: IProtocolFactory, *, secure: bool, shakes_hands: bool = True) -> None:
        self.received = Received()
        client: IProtocolFactory = Factory.forProtocol(lambda: self.received)
        # TLS gathers small writes for a moment of this clock's.
        self._clock = Clock()
        if secure:
            server = TLSMemoryBIOFactory(server_options(), False, server, self._clock)
            if shakes_hands:
                client = TLSMemoryBIOFactory(ClientContextFactory(), True, client, self._clock)
        ends = server.buildProtocol(PEER), client.buildProtocol(PEER)
        transports = [FakeTransport(end, end is ends[0], peerAddress=PEER) for end in ends]
        self._pump: IOPump = connect(ends[0], transports[0], ends[1], transports[1])

    @property
    def data(self) -> bytes:
        """What has arrived since the last :meth:`send`."""
        return self.received.data

    def send(self, data: bytes) -> None:
        self.received.data = b""
        self.received.transport.write(data)
        self.flush()

    def flush(self) -> None:
        """Let arrive what is under way."""
        while self._clock.getDelayedCalls() or self._pump.pump():
            self._clock.advance(0)

    def close(self) -> None:
        self.received.transport.loseConnection()
        self.flush()
