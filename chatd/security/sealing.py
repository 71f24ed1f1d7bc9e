"""Bodies under their author's key: sealed before they are stored or sent on, opened only to be shown.

A sealed body::

    1 byte    layout, 0x01
    12 bytes  nonce, random
    n bytes   ciphertext, as long as the plaintext
    16 bytes  tag

It is AES-256-GCM (NIST SP 800-38D). The associated data bind author, conversation and ``client_id``, each after its
length, under the name ``chatd/body/1``: a row that was moved elsewhere does not open.

A random nonce allows 2^32 bodies per key, so that two share one with a probability below 2^-32 (section 8.3). A person
who sends 20 messages a second without a pause gets there after 6.8 years. An author who could come near needs another
data key, which a further layout byte would tell apart; a new master key does not count, since it leaves the data key
as it is.
"""

import os
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
DIGEST_BYTES: Final = 16
OVERHEAD: Final = 1 + NONCE_BYTES + TAG_BYTES
"""How many bytes longer than its plaintext a sealed body is."""

_LAYOUT: Final = b"\x01"
_CIPHERTEXT: Final = 1 + NONCE_BYTES


class Unreadable(Exception):
    """What is stored does not open: another key, a changed bit, a row that stood elsewhere, or a destroyed key.

    Ours and not the client's: to be counted, logged and never shown. It does not tell what it held.
    """


class AuthorKey:
    """All that one author writes is sealed and opened with this.

    ``data_key`` is 32 random bytes. From it come, by HKDF (RFC 5869, section 2.3), a key for the bodies and one for
    the digests. ``random`` gives so many bytes, fit for nonces. An instance may be kept as long as the key lives.
    """

    __slots__ = ("_aead", "_bound", "_mac", "_random", "author")

    def __init__(self, author: str, data_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        if len(data_key) != KEY_BYTES:
            raise ValueError("a data key has 32 bytes")
        keys = HKDFExpand(SHA256(), 2 * KEY_BYTES, b"chatd/author/1").derive(data_key)
        self.author = author
        self._aead = AESGCM(keys[:KEY_BYTES])
        self._mac = HMAC(keys[KEY_BYTES:], SHA256())
        self._random = random
        self._bound = f"chatd/body/1 {len(author)}:{author}"

    def seal(self, plaintext: bytes, conversation: str, client_id: str) -> bytes:
        """Seal a body for that place; `OVERHEAD` bytes longer than it."""
        nonce = self._random(NONCE_BYTES)
        return _LAYOUT + nonce + self._aead.encrypt(nonce, plaintext, self._context(conversation, client_id))

    def unseal(self, sealed: bytes, conversation: str, client_id: str) -> bytes:
        """Open what `seal` made for the same place; raises `Unreadable` for anything else."""
        if len(sealed) < OVERHEAD or sealed[0] != _LAYOUT[0]:
            raise Unreadable("not a sealed body of a known layout")
        context = self._context(conversation, client_id)
        try:
            return self._aead.decrypt(sealed[1:_CIPHERTEXT], sealed[_CIPHERTEXT:], context)
        except InvalidTag:
            raise Unreadable("the body was sealed by another key, for another place, or was altered") from None

    def digest(self, content: bytes) -> bytes:
        """16 bytes that stand for ``content`` when a repeated ``client_id`` is compared with the first use of it.

        Equal content of one author has equal digests. They are keyed (HMAC-SHA-256, cut short), because a bare hash
        in the database would let its reader find short messages by trying all likely ones, and would outlive the
        destruction of the author's key. Compare them in SQL or with `hmac.compare_digest`.
        """
        mac = self._mac.copy()
        mac.update(content)
        return mac.finalize()[:DIGEST_BYTES]

    def _context(self, conversation: str, client_id: str) -> bytes:
        # Lengths are in characters: UTF-8 maps texts one to one, so text that is unambiguous stays so as bytes.
        return f"{self._bound}{len(conversation)}:{conversation}{len(client_id)}:{client_id}".encode()
