"""The product's back end carries out commands as somebody else, over HTTP."""

import msgspec

from chatd.errors import Forbidden, Invalid
from chatd.records.tokens import Claims
from chatd.security.scopes import ACT
from chatd.wire.types import UserId

HEADER = b"Chatd-On-Behalf-Of"


def on_behalf_of(claims: Claims, header: str | None) -> Claims:
    """Whom a request speaks for whose token says ``claims``. Raises Forbidden and Invalid.

    The header is UTF-8, which HTTP hands over byte by byte. What the token allows besides stays behind, and so does its
    ``jti``: it is none of that person's.
    """
    if header is None:
        return claims
    if ACT not in claims.scopes:
        raise Forbidden(f"`{HEADER.decode()}` needs a token with the scope `{ACT}`.")
    try:
        user = msgspec.convert(header.strip().encode("latin-1").decode("utf-8"), UserId)
    except (UnicodeDecodeError, msgspec.ValidationError):
        raise Invalid(f"`{HEADER.decode()}` takes one user, as the `sub` of tokens names them.") from None
    return Claims(user=user, issuer=claims.issuer, expires_at=claims.expires_at)
