"""An auth service that nobody of chatd has written: Authlib's authorization server, over HTTPS, in a thread of its own.

People log in with a password (RFC 6749, section 4.3), and get JWT access tokens as RFC 9068 has them. It publishes its
configuration (RFC 8414) and its keys, introspects tokens (RFC 7662) and revokes them (RFC 7009).
"""

import json
import ssl
import threading
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import ResourceOwnerPasswordCredentialsGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator, JWTIntrospectionEndpoint
from flask import Flask, jsonify
from joserfc.jwk import ECKey, KeySet, RSAKey
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.kit.auth_service import certificate
from tests.kit.settings import private

AUDIENCE = "chat"
APP = ("app", "the app's secret")
RESOURCE = ("chatd", "s:ecret/+")

KEYS: dict[str, Any] = {
    "RS256": lambda: RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True),
    "ES256": lambda: ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True),
}
"""Authlib takes the name that JWTs give Ed25519 for outdated, and signs with none that chatd takes."""


class _Client(ClientMixin):
    """The app that people log in with, and chatd, which asks about tokens."""

    def __init__(self, name: str, secret: str) -> None:
        self.client_id = name
        self._secret = secret

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self._secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "password"


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """The tests know what was asked."""


class IndependentAuth:
    """It signs with a key for ``algorithm``. Everybody's password is their name backwards."""

    def __init__(self, folder: Path, algorithm: str) -> None:
        self.ca_file = folder / "ca.pem"
        self._secret_file = private(folder / "introspection-secret", RESOURCE[1])
        self._keys = KeySet([KEYS[algorithm]()])
        self._revoked: set[str] = set()
        file = certificate(folder, self.ca_file, ("localhost",))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self._app = Flask("auth")
        self._server = make_server(
            "127.0.0.1", 0, self._app, threaded=True, request_handler=_Quiet, ssl_context=context
        )
        self.issuer = f"https://localhost:{self._server.server_port}"
        self._serve(algorithm)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def table(self) -> str:
        """What stands in chatd's file of issuers."""
        return (
            f'[[issuer]]\nname = "{self.issuer}"\naudience = "{AUDIENCE}"\ndiscovery = true\n'
            f'[issuer.introspection]\nurl = "{self.issuer}/introspect"\nclient_id = "{RESOURCE[0]}"\n'
            f'client_secret_file = "{self._secret_file}"\nevery_seconds = 1\n'
        )

    def log_in(self, user: str, scope: str = "openid") -> str:
        """An access token."""
        form = {"grant_type": "password", "username": user, "password": user[::-1], "scope": scope}
        return str(self._ask("/token", APP, form)["access_token"])

    def revoke(self, token: str) -> None:
        """Log out."""
        self._ask("/revoke", APP, {"token": token})

    def _ask(self, path: str, client: tuple[str, str], form: dict[str, str]) -> Any:
        basic = b64encode(":".join(client).encode()).decode()
        request = Request(self.issuer + path, urlencode(form).encode(), {"Authorization": f"Basic {basic}"})
        with urlopen(request, context=ssl.create_default_context(cafile=str(self.ca_file)), timeout=30) as answer:
            return json.loads(answer.read() or b"{}")

    def _serve(self, algorithm: str) -> None:
        keys, revoked, issuer = self._keys, self._revoked, self.issuer

        class Generator(JWTBearerTokenGenerator):
            def get_jwks(self) -> KeySet:
                return keys

            def get_audiences(self, client: Any, user: Any, scope: str) -> list[str]:
                return [AUDIENCE, client.get_client_id()]

            def get_extra_claims(self, client: Any, grant_type: str, user: Any, scope: str) -> dict[str, Any]:
                return {"name": user.get_user_id().title()}

        class Password(ResourceOwnerPasswordCredentialsGrant):
            def authenticate_user(self, username: str, password: str) -> Any:
                return SimpleNamespace(get_user_id=lambda: username) if password == username[::-1] else None

        class Introspection(JWTIntrospectionEndpoint):
            def get_jwks(self) -> KeySet:
                return keys

            def check_permission(self, token: Any, client: Any, request: Any) -> bool:
                return bool(client.client_id == RESOURCE[0] and request.form["token"] not in revoked)

        class Revocation(RevocationEndpoint):
            def query_token(self, token_string: str, token_type_hint: str | None) -> Any:
                return SimpleNamespace(text=token_string, check_client=lambda client: True)

            def revoke_token(self, token: Any, request: Any) -> None:
                revoked.add(token.text)

        clients = {name: _Client(name, secret) for name, secret in (APP, RESOURCE)}
        server = AuthorizationServer(self._app, query_client=clients.get, save_token=lambda token, request: None)
        server.register_token_generator("default", Generator(issuer, alg=algorithm))
        server.register_grant(Password)
        server.register_endpoint(Introspection(issuer))
        server.register_endpoint(Revocation)
        self._app.post("/token")(server.create_token_response)
        self._app.post("/introspect", endpoint="introspect")(
            lambda: server.create_endpoint_response(Introspection.ENDPOINT_NAME)
        )
        self._app.post("/revoke", endpoint="revoke")(lambda: server.create_endpoint_response(Revocation.ENDPOINT_NAME))
        self._app.get("/jwks.json", endpoint="jwks")(lambda: jsonify(keys.as_dict(private=False)))
        self._app.get("/.well-known/openid-configuration", endpoint="metadata")(lambda: jsonify(_metadata(issuer)))


def _metadata(issuer: str) -> dict[str, Any]:
    metadata = AuthorizationServerMetadata(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/authorize",
        token_endpoint=f"{issuer}/token",
        introspection_endpoint=f"{issuer}/introspect",
        revocation_endpoint=f"{issuer}/revoke",
        jwks_uri=f"{issuer}/jwks.json",
        response_types_supported=["code"],
        grant_types_supported=["password"],
    )
    metadata.validate()
    return dict(metadata)
