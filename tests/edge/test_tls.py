"""Only modern TLS is spoken, and a certificate that cannot be served is refused in one line when it is loaded."""

import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory

from chatd.edge.tls import context_factory
from chatd.settings.base import SettingsError

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
DSA = dsa.generate_private_key(2048)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
START = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


def certificate_pem(key: Key) -> bytes:
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, START, START + datetime.timedelta(days=36500))
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()).public_bytes(
        Encoding.PEM
    )


def key_pem(key: Key | dsa.DSAPrivateKey, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes, bytes], tuple[str, str]]:
    def write(certificate: bytes, key: bytes) -> tuple[str, str]:
        for name, content in (("certificate.pem", certificate), ("key.pem", key)):
            (tmp_path / name).write_bytes(content)
        return str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")

    return write


Write = Callable[[bytes, bytes], tuple[str, str]]


class Server:
    """chatd's side of a connection, in memory."""

    def __init__(self, write: Write, key: Key = RSA, chain: bytes = b"") -> None:
        contexts = context_factory(*write(certificate_pem(key) + chain, key_pem(key)))
        factory = TLSMemoryBIOFactory(contexts, False, Factory.forProtocol(Protocol))
        self._protocol = factory.buildProtocol(None)
        self._transport = StringTransport()
        self._protocol.makeConnection(self._transport)

    def answer(self, data: bytes) -> bytes:
        if data:
            self._protocol.dataReceived(data)
        answer = self._transport.value()
        self._transport.clear()
        return answer


def handshake(server: Server, client: ssl.SSLContext) -> ssl.SSLObject:
    """The client's side once both agree; raises ssl.SSLError where they do not."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    for _ in range(10):
        try:
            connection.do_handshake()
        except ssl.SSLWantReadError:
            incoming.write(server.answer(outgoing.read()))
        else:
            return connection
    raise AssertionError("no end to the handshake")


def agree(peer: SSL.Connection, server: Server) -> None:
    """Let a client that OpenSSL plays through Python shake hands; raises SSL.Error where the two do not agree."""
    for _ in range(10):
        try:
            peer.do_handshake()
        except SSL.WantReadError:
            peer.bio_write(server.answer(peer.bio_read(65536)))
        else:
            return
    raise AssertionError("no end to the handshake")


def client(
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, ciphers: str = "ALL:@SECLEVEL=0", alpn: list[str] | None = None
) -> ssl.SSLContext:
    """A client that would speak anything up to ``newest``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(ciphers)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = newest
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["rsa", "ec", "ed25519"])
def test_tls_1_3_is_spoken_with_every_kind_of_key(write: Write, key: Key) -> None:
    assert handshake(Server(write, key), client()).version() == "TLSv1.3"


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_what_is_older_than_tls_1_2_is_refused(write: Write, newest: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
        handshake(Server(write), client(newest))


@pytest.mark.parametrize(
    "cipher",
    ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"],
)
def test_ephemeral_keys_and_authenticated_encryption_serve_tls_1_2(write: Write, cipher: str) -> None:
    connection = handshake(Server(write), client(ssl.TLSVersion.TLSv1_2, cipher))
    assert connection.cipher() is not None
    assert connection.cipher()[0] == cipher
    assert connection.compression() is None


@pytest.mark.parametrize(
    "cipher",
    [
        "AES128-SHA",
        "AES128-SHA256",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA256",
        "ECDHE-RSA-AES256-SHA384",
        "DHE-RSA-AES128-GCM-SHA256",
        "AECDH-AES128-SHA:@SECLEVEL=0",
    ],
)
def test_keys_that_last_and_encryption_without_authentication_are_refused(write: Write, cipher: str) -> None:
    with pytest.raises(ssl.SSLError, match="ALERT_HANDSHAKE_FAILURE"):
        handshake(Server(write), client(ssl.TLSVersion.TLSv1_2, cipher))


def test_the_server_chooses_the_cipher(write: Write) -> None:
    backwards = client(ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384")
    cipher = handshake(Server(write), backwards).cipher()
    assert cipher is not None
    assert cipher[0] == "ECDHE-RSA-AES256-GCM-SHA384"


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (None, None)]
)
def test_http_1_1_is_all_that_is_negotiated(write: Write, offered: list[str] | None, chosen: str | None) -> None:
    assert handshake(Server(write), client(alpn=offered)).selected_alpn_protocol() == chosen


def test_a_client_that_speaks_only_http_2_is_told_so(write: Write) -> None:
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        handshake(Server(write), client(alpn=["h2"]))


def test_tls_1_2_is_not_negotiated_anew_on_a_living_connection(write: Write) -> None:
    server = Server(write)
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    peer = SSL.Connection(context)
    peer.set_connect_state()
    agree(peer, server)
    assert peer.get_protocol_version_name() == "TLSv1.2"
    peer.renegotiate()
    with pytest.raises(SSL.Error, match="no renegotiation"):
        agree(peer, server)


@pytest.mark.parametrize(
    ("certificate", "key", "named", "problem"),
    [
        (b"", key_pem(RSA), "tls.certificate", "holds no certificate"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            key_pem(RSA),
            "tls.certificate",
            "holds no",
        ),
        (certificate_pem(RSA), b"", "tls.key", "holds no private key"),
        (certificate_pem(RSA), certificate_pem(RSA), "tls.key", "holds no private key"),
        (certificate_pem(RSA), key_pem(RSA, BestAvailableEncryption(b"x")), "tls.key", "is encrypted"),
        (certificate_pem(RSA), key_pem(EC), "tls.key", "is not the key of the certificate in"),
        (certificate_pem(RSA), key_pem(DSA), "tls.key", "must be an RSA, EC or Ed25519 key"),
        (certificate_pem(SMALL_RSA), key_pem(SMALL_RSA), "tls.certificate", "OpenSSL refuses it: ee key too small"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    certificate: bytes, key: bytes, named: str, problem: str, write: Write
) -> None:
    with pytest.raises(SettingsError) as caught:
        context_factory(*write(certificate, key))
    assert caught.value.key == named
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path, write: Write) -> None:
    certificate, key = write(certificate_pem(RSA), key_pem(RSA))
    with pytest.raises(SettingsError, match=r"tls\.certificate \(/does/not/exist\): cannot be read: No such file"):
        context_factory("/does/not/exist", key)
    with pytest.raises(SettingsError, match=r"tls\.key \(.*\): cannot be read: Is a directory"):
        context_factory(certificate, str(tmp_path))


def test_the_chain_behind_the_certificate_is_sent_with_it(write: Write) -> None:
    server = Server(write, RSA, chain=certificate_pem(EC))
    context = SSL.Context(SSL.TLS_METHOD)
    peer = SSL.Connection(context)
    peer.set_connect_state()
    agree(peer, server)
    chain = peer.get_peer_cert_chain(as_cryptography=True)
    assert chain is not None
    assert [link.public_key() for link in chain] == [RSA.public_key(), EC.public_key()]


def test_a_session_is_not_taken_up_again(write: Write) -> None:
    server = Server(write)
    context = client(ssl.TLSVersion.TLSv1_2)
    assert handshake(server, context).session.has_ticket is False
