"""What a token may be allowed beyond speaking for its own person: the scopes that chatd knows, and how they are read.

=================== ================================================================================
scope               what its token may do
=================== ================================================================================
``chatd:revoke``    revoke tokens of anybody (``token.revoke``)
``chatd:act``       carry out commands as somebody else, over HTTP (``Chatd-On-Behalf-Of``)
=================== ================================================================================

They are meant for the product's back end, and given by its auth service alone.
"""

from typing import Final

REVOKE: Final = "chatd:revoke"
ACT: Final = "chatd:act"
KNOWN: Final = frozenset({REVOKE, ACT})
NONE: Final[frozenset[str]] = frozenset()


def read_scopes(*claims: object) -> frozenset[str]:
    """The known ones among what ``scope`` and ``scp`` say.

    Text with spaces between them (RFC 8693, section 4.2) or a list of texts. Anything else allows nothing: what other
    programs use these claims for is none of chatd's business.
    """
    named: set[str] = set()
    for claim in claims:
        if isinstance(claim, str):
            named.update(claim.split(" "))
        elif isinstance(claim, list):
            named.update(item for item in claim if isinstance(item, str))
    return KNOWN & named or NONE
