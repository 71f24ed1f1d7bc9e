"""Traces of a text in whatever was left behind: as it is, and in the forms that software gives to text and bytes."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from urllib.parse import quote

AROUND = 40
"""How much of what stands around a trace is told."""


def forms(text: str) -> dict[str, bytes]:
    """All forms that are looked for, by name."""
    raw = text.encode()
    found = {
        "UTF-8": raw,
        "UTF-16, little end first": text.encode("utf-16-le"),
        "UTF-16, big end first": text.encode("utf-16-be"),
        "JSON": json.dumps(text)[1:-1].encode(),
        "a URL": quote(text, safe="").encode(),
        "hexadecimal": raw.hex().encode(),
        "hexadecimal in capitals": raw.hex().upper().encode(),
    }
    for shift in range(3):
        found[f"base64 behind {shift} bytes"] = _inside(base64.b64encode, raw, shift)
        found[f"base64url behind {shift} bytes"] = _inside(base64.urlsafe_b64encode, raw, shift)
    return found


def _inside(encode: Callable[[bytes], bytes], raw: bytes, shift: int) -> bytes:
    """What is the same whatever stands before and behind: a character takes up six bits, perhaps of two bytes."""
    encoded = encode(bytes(shift) + raw)
    first, whole = -(-shift * 8 // 6), (shift + len(raw)) * 8 // 6
    return encoded[first:whole]


def traces(texts: Iterable[str], places: Mapping[str, bytes]) -> list[str]:
    """Where any of the texts is found, in which form, and what stands around it."""
    return list(chain.from_iterable(_in(text, name, data) for text in texts for name, data in places.items()))


def _in(text: str, name: str, data: bytes) -> Iterator[str]:
    for form, wanted in forms(text).items():
        at = data.find(wanted)
        if at >= 0:
            yield f"{name}: {form}: {data[max(0, at - AROUND) : at + len(wanted) + AROUND]!r}"
