"""The PROXY protocol, versions 1 and 2: a proxy says in a header, ahead of all else, for whom it has connected.

Sans-IO. The rules are those of HAProxy's ``doc/proxy-protocol.txt``, sections 2.1 and 2.2: the header comes whole
before anything of the client's, what is not exactly as it should be ends the connection, and nobody guesses whether
there is a header. Whether to believe it is for the caller to decide, before it is read.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from struct import Struct

VERSION_1 = b"PROXY "
LONGEST_LINE = 107
"""Bytes of a header of version 1, its end included."""
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MOST_BEHIND = 4096
"""Bytes that may follow the fixed part of version 2. Addresses take 216 at most; the rest is for TLVs."""

_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_FAMILIES = {"TCP4": IPv4Address, "TCP6": IPv6Address}

_FIXED = Struct("!12sBBH")
_INET = Struct("!4s4sHH")
_INET6 = Struct("!16s16sHH")
_UNIX_BYTES = 216
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _STREAM, _DGRAM = range(3)
_AF_UNSPEC, _AF_INET, _AF_INET6, _AF_UNIX = range(4)


class HeaderError(ValueError):
    """These bytes do not begin with a PROXY header. Its text is for the log, and holds none of them."""


@dataclass(frozen=True, slots=True)
class Source:
    """From where the client has connected to the proxy."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says, and how many bytes it took.

    ``source`` is None where the proxy does not name one: it speaks for itself (LOCAL), does not know (UNKNOWN, UNSPEC),
    or was connected to over a UNIX socket of its own.
    """

    source: Source | None
    length: int


def read_header(received: bytes) -> Header | None:
    """The header at the beginning of all that was ``received`` so far; None while it is not whole.

    Raises HeaderError as soon as it can be none. What is to be kept until then is bounded by LONGEST_LINE and by
    MOST_BEHIND.
    """
    for beginning, read in ((VERSION_1, _version_1), (SIGNATURE, _version_2)):
        if received[: len(beginning)] == beginning:
            return read(received)
        if beginning.startswith(received):
            return None
    raise HeaderError("it does not begin as one")


def _version_1(received: bytes) -> Header | None:
    end = received.find(b"\r\n", 0, LONGEST_LINE)
    if end < 0:
        if len(received) >= LONGEST_LINE:
            raise HeaderError("its line does not end")
        return None
    length = end + 2
    words = received[len(VERSION_1) : end].decode("latin-1").split(" ")
    if words[0] == "UNKNOWN":
        # Whatever stands behind it is to be ignored.
        return Header(None, length)
    if len(words) != 5 or words[0] not in _FAMILIES:
        raise HeaderError("its line has other words than it should")
    family, source, destination, source_port, destination_port = words
    _check_address(family, destination)
    _port(destination_port)
    return Header(Source(_check_address(family, source), _port(source_port)), length)


def _check_address(family: str, text: str) -> str:
    try:
        address = _FAMILIES[family](text)
    except AddressValueError:
        raise HeaderError("an address is none of its family") from None
    if "%" in text:
        raise HeaderError("an address has a zone")
    return str(address)


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65_535:
        raise HeaderError("a port is none")
    return int(text)


def _version_2(received: bytes) -> Header | None:
    if len(received) < _FIXED.size:
        return None
    _, command, kind, behind = _FIXED.unpack_from(received)
    family, transport = kind >> 4, kind & 0xF
    if command not in (_LOCAL, _PROXY):
        raise HeaderError("its version or command is not known")
    if behind > MOST_BEHIND:
        raise HeaderError(f"it is longer than {MOST_BEHIND} bytes")
    length: int = _FIXED.size + behind
    if command == _PROXY:
        _check_kind(family, transport, behind)
    if len(received) < length:
        return None
    if command == _LOCAL or transport == _UNSPEC or family not in (_AF_INET, _AF_INET6):
        return Header(None, length)
    shape, address = (_INET, IPv4Address) if family == _AF_INET else (_INET6, IPv6Address)
    source, _, port, _ = shape.unpack_from(received, _FIXED.size)
    return Header(Source(str(address(source)), port), length)


def _check_kind(family: int, transport: int, behind: int) -> None:
    """What follows the addresses are TLVs, which nothing here depends on: they are skipped unread."""
    if family > _AF_UNIX or transport > _DGRAM:
        raise HeaderError("its family or transport is not known")
    least = {_AF_UNSPEC: 0, _AF_INET: _INET.size, _AF_INET6: _INET6.size, _AF_UNIX: _UNIX_BYTES}[family]
    if behind < least:
        raise HeaderError("it is too short for its addresses")
