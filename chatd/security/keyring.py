"""Master keys, and the data keys that they wrap: one per author, destroyed with that author's row.

The master keys are a text, from a file, the environment or a systemd credential, with one key a line::

    # version:key, oldest first; the last line wraps new keys, the others still open what they wrapped
    2025-11:0f1e2d...   (64 hexadecimal digits)
    2026-04:Dx4tPE...   (43 characters of base64 or base64url, or 44 with its "=")

To rotate, add a line at the end, rewrap (``chatctl keys rotate``), and remove the old line when no row names its
version any more.

A wrapped data key::

    1 byte    layout, 0x01
    12 bytes  nonce, random
    32 bytes  ciphertext
    16 bytes  tag

It is AES-256-GCM; the associated data bind user and version of the master key under the name ``chatd/key/1``. A master
key may wrap 2^32 of them (NIST SP 800-38D, section 8.3).
"""

import os
import re
from collections.abc import Callable, Mapping
from copy import copy
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from chatd.records.keys import WrappedKey
from chatd.security.jwks import base64url, unpadded_base64url
from chatd.security.sealing import KEY_BYTES, NONCE_BYTES, TAG_BYTES, AuthorKey, Unreadable

_LAYOUT: Final = b"\x01"
_CIPHERTEXT: Final = 1 + NONCE_BYTES
_WRAPPED_BYTES: Final = _CIPHERTEXT + KEY_BYTES + TAG_BYTES
_VERSION: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{64}")
_TO_URL_SAFE: Final = str.maketrans("+/", "-_")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=?")


class MasterKeyError(ValueError):
    """A text of master keys that is not used: one line that says where, and what would be right.

    It names lines by number and quotes nothing, since what looks like a version may be a key.
    """


class MasterKeys:
    """Versioned master keys of 256 bits; the last one is `current`."""

    __slots__ = ("_aeads", "_newest", "current")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take 32 bytes by version, oldest first; raises `MasterKeyError`."""
        if not keys:
            raise MasterKeyError("at least one master key is needed, as version:key")
        if any(len(key) != KEY_BYTES for key in keys.values()):
            raise MasterKeyError("every master key must have 32 bytes")
        self._aeads = {version: AESGCM(key) for version, key in keys.items()}
        self.current = list(keys)[-1]
        self._newest = keys[self.current]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text described at the top of this module; raises `MasterKeyError`."""
        keys: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            version, _, encoded = (part.strip() for part in stripped.partition(":"))
            key = _decode(encoded)
            if key is None or not _VERSION.fullmatch(version):
                raise MasterKeyError(
                    f"line {number} must be version:key, a version of 1 to 32 letters, digits and ._- and a key of"
                    " 32 bytes as 64 hexadecimal digits or as 43 characters of base64"
                )
            if version in keys:
                raise MasterKeyError(f"line {number} must have a version of its own")
            if key in keys.values():
                raise MasterKeyError(f"line {number} must have a key of its own")
            keys[version] = key
        return cls(keys)

    @staticmethod
    def generate_line(version: str, random: Callable[[int], bytes] = os.urandom) -> str:
        """A line with a new key, without its line end; raises `MasterKeyError` for an unfit version."""
        if not _VERSION.fullmatch(version):
            raise MasterKeyError("a version must be 1 to 32 letters, digits and ._-")
        return f"{version}:{base64url(random(KEY_BYTES))}"

    @property
    def versions(self) -> tuple[str, ...]:
        """All of them, oldest first."""
        return tuple(self._aeads)

    def alone(self) -> Self:
        """The current one and no other: what opens with it needs none of the others."""
        kept = copy(self)
        kept._aeads = {self.current: self._aeads[self.current]}
        return kept

    def cipher(self, version: str) -> AESGCM:
        """The cipher of that version; raises `KeyError`."""
        return self._aeads[version]

    def derive(self, purpose: bytes) -> bytes:
        """32 bytes for another ``purpose``, from the current master key by HKDF (RFC 5869, section 2.3)."""
        return HKDFExpand(SHA256(), KEY_BYTES, purpose).derive(self._newest)


class Keyring:
    """Makes, opens and rewraps data keys. ``random`` gives so many bytes, fit for keys."""

    __slots__ = ("_masters", "_random")

    def __init__(self, masters: MasterKeys, random: Callable[[int], bytes] = os.urandom) -> None:
        self._masters = masters
        self._random = random

    def create(self, user: str) -> WrappedKey:
        """A new data key for ``user``, under the current master key."""
        return self._wrap(user, self._random(KEY_BYTES))

    def open(self, wrapped: WrappedKey) -> AuthorKey:
        """The key of the author whose row this is.

        Raises `Unreadable` if the master key is not configured, or did not wrap this for this user.
        """
        return AuthorKey(wrapped.user, self._unwrap(wrapped), self._random)

    def rewrap(self, wrapped: WrappedKey) -> WrappedKey:
        """The same data key under the current master key; raises `Unreadable` as `open` does."""
        return self._wrap(wrapped.user, self._unwrap(wrapped))

    def _wrap(self, user: str, data_key: bytes) -> WrappedKey:
        version = self._masters.current
        nonce = self._random(NONCE_BYTES)
        ciphertext = self._masters.cipher(version).encrypt(nonce, data_key, _context(user, version))
        return WrappedKey(user=user, master=version, wrapped=_LAYOUT + nonce + ciphertext)

    def _unwrap(self, wrapped: WrappedKey) -> bytes:
        sealed = wrapped.wrapped
        if len(sealed) != _WRAPPED_BYTES or not sealed.startswith(_LAYOUT):
            raise Unreadable("not a wrapped key of a known layout")
        context = _context(wrapped.user, wrapped.master)
        try:
            return self._masters.cipher(wrapped.master).decrypt(sealed[1:_CIPHERTEXT], sealed[_CIPHERTEXT:], context)
        except KeyError:
            raise Unreadable("the master key of this version is not configured") from None
        except InvalidTag:
            raise Unreadable("the key was wrapped by another master key, for another user, or was altered") from None


def _context(user: str, version: str) -> bytes:
    return f"chatd/key/1 {len(user)}:{user}{len(version)}:{version}".encode()


def _decode(encoded: str) -> bytes | None:
    """The 32 bytes that are written there, or None."""
    if _HEX.fullmatch(encoded):
        return bytes.fromhex(encoded)
    if not _BASE64.fullmatch(encoded):
        return None
    return unpadded_base64url(encoded.rstrip("=").translate(_TO_URL_SAFE))
