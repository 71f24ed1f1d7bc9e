"""How a caller stands with a limit, in the header fields of draft-ietf-httpapi-ratelimit-headers-10.

``RateLimit-Policy`` says what the limit is: ``q``, how much at once, and ``w``, in how many seconds that comes anew.
``RateLimit`` says how much is left of it: ``r``, and unless nothing is missing, in how many seconds, ``t``, there is
more. The policy's name is that of the limit in the settings.
"""

from math import ceil

from chatd.security.limits import Standing


def fields(standing: Standing) -> list[tuple[bytes, bytes]]:
    """Both fields, as structured fields (RFC 9651)."""
    rate, name = standing.rate, standing.limit
    policy = f'"{name}";q={int(rate.burst)};w={ceil(rate.burst / rate.per_second)}'
    more = f";t={standing.next_in}" if standing.next_in else ""
    return [
        (b"RateLimit-Policy", policy.encode()),
        (b"RateLimit", f'"{name}";r={standing.left}{more}'.encode()),
    ]
