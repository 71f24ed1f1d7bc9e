"""Ids that follow from what they name, so that two workers reach the same one without asking each other."""

from functools import lru_cache
from hashlib import sha256
from typing import Final
from uuid import UUID

NIL: Final = "00000000-0000-0000-0000-000000000000"
"""No conversation; in the order of ids it comes before all of them (RFC 9562, section 5.9)."""


def _derived(purpose: bytes, *parts: str) -> str:
    """A UUID of version 8 (RFC 9562, section 5.8) from a SHA-256 over length-prefixed parts."""
    digest = sha256(purpose)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(2) + encoded)
    value = int.from_bytes(digest.digest()[:16])
    value = value & ~(0xF << 76) | 0x8 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


@lru_cache(maxsize=65536)
def direct(one: str, other: str) -> str:
    """The conversation of two people; the same whoever asks. With oneself it is a note pad."""
    return _derived(b"chatd/direct/1", *sorted((one, other)))


@lru_cache(maxsize=65536)
def event_queue(user: str) -> str:
    """The log of what is addressed to a person and to no conversation."""
    return _derived(b"chatd/queue/1", user)


def group(author: str, client_id: str) -> str:
    """The group that a person founds by this change; the same however often they ask for it."""
    return _derived(b"chatd/group/1", author, client_id)


def message_id(conversation: str, seq: int) -> str:
    """A message by its place."""
    return f"{conversation}.{seq}"
