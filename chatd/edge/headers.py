"""The headers that every answer over HTTP has, whoever asked for whatever.

None of them tells what chatd is made of or which version it has.
"""

from typing import Final

Headers = tuple[tuple[bytes, bytes], ...]

COMMON: Final[Headers] = (
    # What is said to one person is kept by no cache.
    (b"Cache-Control", b"no-store"),
    # No answer is a page. That one may connect to where it came from lets chatd be tried out from a browser's console.
    (b"Content-Security-Policy", b"default-src 'none'; connect-src 'self'; frame-ancestors 'none'"),
    # No other site's page may take it in as a picture or a script; whoever may read it asks by CORS.
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
    # No browser guesses what it is.
    (b"X-Content-Type-Options", b"nosniff"),
)


def over_tls(seconds: float) -> Headers:
    """Those of answers over TLS: for so long browsers come by TLS alone (RFC 6797, section 6.1); 0 says nothing."""
    if not seconds:
        return COMMON
    return (*COMMON, (b"Strict-Transport-Security", b"max-age=%d" % seconds))
