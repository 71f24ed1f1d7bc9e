"""TLS as chatd serves it: version 1.2 and up, ephemeral keys and authenticated encryption only (RFC 9325)."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from chatd.settings.base import SettingsError

ServingKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2, whose other suites lack forward secrecy or integrity; those of TLS 1.3 are all fit, and stay on."""
OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET
"""Tickets would be sealed under a key that OpenSSL keeps for the life of the process (RFC 9325, section 3.4)."""
PROTOCOL = b"http/1.1"


@implementer(IOpenSSLServerConnectionCreator)
class TlsServer:
    """Makes the server's side of connections; given to an endpoint where it takes a context factory.

    Not Twisted's CertificateOptions, which hands the certificate over as types that pyOpenSSL gives up, and leaves no
    moment to set options before the context is closed to changes.
    """

    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context)


def context_factory(certificate_path: str, key_path: str) -> TlsServer:
    """What a server endpoint needs to serve TLS with this certificate.

    Both files are PEM; the chain, if there is one, follows the certificate in its file. They are read now and not
    again, so a renewed certificate takes a new factory. Raises SettingsError for what cannot be served.
    """
    pem = read_pem(certificate_path, key_path)
    return context_from_pem(*pem, certificate_path, key_path)


def read_pem(certificate_path: str, key_path: str) -> tuple[bytes, bytes]:
    """What both files hold, unseen. Raises SettingsError."""
    return _read("tls.certificate", certificate_path), _read("tls.key", key_path)


def context_from_pem(certificate_pem: bytes, key_pem: bytes, certificate_path: str, key_path: str) -> TlsServer:
    """The same of what the files held; the paths are for those who read the errors."""
    certificate, *chain = _certificates(certificate_pem, certificate_path)
    key = _private_key(key_pem, key_path)
    if _public_bytes(certificate.public_key()) != _public_bytes(key.public_key()):
        raise SettingsError("tls.key", key_path, f"is not the key of the certificate in {certificate_path}")
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_alpn_select_callback(_choose_protocol)
    context.set_cipher_list(CIPHERS)
    try:
        context.use_certificate(certificate)
        for link in chain:
            context.add_extra_chain_cert(link)
        context.use_privatekey(key)
    except SSL.Error as error:
        raise SettingsError("tls.certificate", certificate_path, f"OpenSSL refuses it: {_words(error)}") from error
    return TlsServer(context)


def _choose_protocol(connection: SSL.Connection, offered: Sequence[bytes]) -> bytes:
    """Asked only of a client that offers something; an error ends the handshake (RFC 7301, section 3.2)."""
    if PROTOCOL not in offered:
        raise SSL.Error([("chatd", "ALPN", "the client does not speak HTTP/1.1")])
    return PROTOCOL


def _certificates(pem: bytes, path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SettingsError("tls.certificate", path, "holds no certificate in PEM") from error


def _private_key(pem: bytes, path: str) -> ServingKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise SettingsError("tls.key", path, "is encrypted; chatd reads keys without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError("tls.key", path, "holds no private key in PEM") from error
    if not isinstance(key, ServingKey):
        raise SettingsError("tls.key", path, "must be an RSA, EC or Ed25519 key")
    return key


def _read(key: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SettingsError(key, path, f"cannot be read: {error.strerror}") from error


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _words(error: SSL.Error) -> str:
    """OpenSSL's reasons; its exception holds a list of (library, function, reason)."""
    return ", ".join(str(entry[-1]) for entry in error.args[0]) if error.args else "no reason given"
