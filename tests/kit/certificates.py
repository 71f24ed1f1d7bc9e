"""Certificates that signed themselves, in files as an operator has them."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.kit.settings import private


def write_certificate(folder: Path) -> str:
    """A fresh ``certificate.pem`` and ``key.pem``, in the place of those before; the certificate's PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    end = start + datetime.timedelta(days=36500)
    number = x509.random_serial_number()
    builder = x509.CertificateBuilder(name, name, key.public_key(), number, start, end)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    (folder / "certificate.pem").write_text(pem)
    private(folder / "key.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    return pem
