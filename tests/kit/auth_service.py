"""A product's auth service over HTTPS, in a thread of its own: keys, discovery, introspection, and every fault."""

import datetime
import json
import socket
import ssl
import threading
import time
from base64 import b64decode
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote_plus
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chatd.security.tokens import SigningKey
from tests.kit.settings import private

AUDIENCE = "chat"
CLIENT = ("chatd/prod", "s:ecret")
FAULTS = ("hang", "trickle", "garbage", "html", "empty", "huge", "bomb", "redirect", "error", "cut")
GZIP_BOMB = bytes.fromhex("1f8b08000000000000ff") + b"\0" * 64


class ProductAuth:
    """``fault`` spoils every answer; ``asked`` are the paths asked for. It keeps its port while it is stopped.

    ``names`` are what its certificate says it is called.
    """

    def __init__(self, folder: Path, names: tuple[str, ...] = ("localhost",)) -> None:
        self.ca_file = folder / "ca.pem"
        self._certificate = certificate(folder, self.ca_file, names)
        self.keys = [SigningKey.generate()]
        self.answers: dict[str, dict[str, Any]] = {}
        self.fault = ""
        self.issuer_told = ""
        self.cache_control = "max-age=3600"
        self.asked: list[str] = []
        self.credentials: list[tuple[str, str]] = []
        self._released = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()
        self.issuer = f"https://localhost:{self._port}"

    def start(self) -> None:
        self._released.clear()
        self._server = server = _Server(("127.0.0.1", self._port), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self._port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be gone: connects are refused, and what was open is closed."""
        if self._server is not None:
            self._released.set()
            self._server.shutdown()
            self._server.server_close()
            for accepted in self._server.accepted:
                with suppress(OSError):
                    accepted.shutdown(socket.SHUT_RDWR)
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish no other."""
        self.keys = [SigningKey.generate()]

    def token(self, user: str, *, lifetime: float = 3600.0, key: SigningKey | None = None) -> str:
        """A JWT, which is active until ``deactivate``."""
        token = (key or self.keys[0]).mint(
            user, issuer=self.issuer, audience=AUDIENCE, now=time.time(), lifetime=lifetime, token_id=uuid4().hex
        )
        self.answers[token] = {"active": True, "sub": user}
        return token

    def opaque(self, user: str, **members: Any) -> str:
        """A token that says nothing itself; ``members`` differ from what makes it hold."""
        token = f"opaque-{uuid4().hex}"
        told = {"active": True, "sub": user, "iss": self.issuer, "aud": AUDIENCE, "exp": int(time.time()) + 600}
        self.answers[token] = told | members
        return token

    def deactivate(self, token: str) -> None:
        self.answers[token] = {"active": False}

    def table(self, keys: str = "discovery = true", *, introspection: str = "") -> str:
        """The issuers file that leads here, as TOML; ``introspection`` are more lines of that table."""
        return f'[[issuer]]\nname = "{self.issuer}"\naudience = "{AUDIENCE}"\n{keys}\n{introspection}'

    def introspection(self, secret_file: Path, *more: str) -> str:
        lines = (
            "[issuer.introspection]",
            f'url = "{self.issuer}/introspect"',
            f'client_id = "{CLIENT[0]}"',
            f'client_secret_file = "{private(secret_file, CLIENT[1])}"',
            *more,
        )
        return "\n".join(lines) + "\n"

    def answer(self, path: str, form: dict[str, list[str]]) -> Any:
        match path:
            case "/.well-known/openid-configuration":
                return {"issuer": self.issuer_told or self.issuer, "jwks_uri": f"{self.issuer}/jwks.json"}
            case "/jwks.json":
                return {"keys": [jwk for key in self.keys for jwk in json.loads(key.public_jwks())["keys"]]}
            case "/introspect":
                return self.answers.get(form["token"][0], {"active": False})
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.accepted: list[socket.socket] = []
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = super().get_request()
        self.accepted.append(accepted)
        return accepted, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that distrust the certificate, or cut the connection, are what is tested."""


def _handler(auth: ProductAuth) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Connections that idle end with the test.
        timeout = 30

        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            given = b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
            name, _, secret = given.partition(":")
            auth.credentials.append((unquote_plus(name), unquote_plus(secret)))
            self._reply(parse_qs(body))

        def _reply(self, form: dict[str, list[str]]) -> None:
            auth.asked.append(self.path)
            found = auth.answer(self.path, form)
            body, status, headers = json.dumps(found).encode(), 200 if found is not None else 404, {}
            match auth.fault:
                case "hang":
                    auth._released.wait(30)
                case "trickle":
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    auth._released.wait(30)
                case "garbage":
                    body = b'{"keys": [' + b"\xff" * 20
                case "html":
                    body, headers = b"<html>Welcome to the wireless network</html>", {"Content-Type": "text/html"}
                case "empty":
                    body = b""
                case "huge":
                    body = b" " * 5_000_000 + body
                case "bomb":
                    body, headers = GZIP_BOMB, {"Content-Encoding": "gzip"}
                case "redirect":
                    status, headers = 302, {"Location": f"{auth.issuer}/jwks.json"}
                case "error":
                    status = 500
                case "cut":
                    self.connection.shutdown(socket.SHUT_RDWR)
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.send_header("Cache-Control", auth.cache_control)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """The tests know what was asked."""

    return Handler


def certificate(folder: Path, ca_file: Path, names: tuple[str, ...]) -> Path:
    """A certificate of an authority that is known to nobody else; its file holds the key too."""
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"an authority of {folder.name}"[:64])])
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    end = start + datetime.timedelta(days=36500)
    ca = (
        x509.CertificateBuilder(ca_name, ca_name, authority.public_key(), 1, start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    addresses = [x509.IPAddress(IPv4Address("127.0.0.1"))] if "localhost" in names else []
    certificate = (
        x509.CertificateBuilder(ca_name, subject, key.public_key(), 2, start, end)
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, names), *addresses]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private(folder / "server.pem", (pem + certificate.public_bytes(Encoding.PEM)).decode())
