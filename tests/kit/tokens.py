"""The product's auth service, as far as the tests need one: a key, what it publishes, and tokens of any person."""

import time
from uuid import uuid4

from chatd.security.tokens import SigningKey

ISSUER = "https://auth.example.com"
AUDIENCE = "chat"


class AuthService:
    """Mints tokens that a server with `jwks` accepts. Lifetimes are in seconds."""

    def __init__(self) -> None:
        self._key = SigningKey.generate()

    @property
    def jwks(self) -> bytes:
        """The JWK Set that it publishes."""
        return self._key.public_jwks()

    def token(self, user: str, *, lifetime: float = 3600.0, **claims: str) -> str:
        """A token of ``user``; with a negative lifetime, one that has expired. ``claims``: ``name`` and others."""
        now = time.time() - (3600 if lifetime < 0 else 0)
        return self._key.mint(
            user,
            issuer=ISSUER,
            audience=AUDIENCE,
            now=now,
            lifetime=lifetime + (3600 if lifetime < 0 else 0),
            token_id=uuid4().hex,
            **claims,
        )
