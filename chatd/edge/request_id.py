"""What names a request in the log, and in the answer's ``X-Request-Id``."""

import re
from collections.abc import Sequence
from uuid import uuid4

HEADER = b"X-Request-Id"

_FIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def request_id(given: Sequence[bytes]) -> str:
    """A fresh one, or what a trusted proxy has ``given``, if that is one text of a kind that harms no log."""
    if len(given) == 1:
        text = given[0].decode("latin-1")
        if _FIT.fullmatch(text):
            return text
    return uuid4().hex
