"""What a proxy says ahead of all else, in version 1 and 2 of the PROXY protocol."""

from ipaddress import IPv4Address, IPv6Address
from struct import pack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatd.wire.proxy_header import LONGEST_LINE, MOST_BEHIND, SIGNATURE, Header, HeaderError, Source, read_header

PORTS = st.integers(0, 65_535)
FAMILIES = {1: IPv4Address, 2: IPv6Address}
NUMBERS = {1: st.integers(0, 2**32 - 1), 2: st.integers(0, 2**128 - 1)}
LONGEST_UNKNOWN = b"PROXY UNKNOWN " + b"f" * (LONGEST_LINE - 16) + b"\r\n"


def version_2(kind: int, behind: bytes = b"", command: int = 0x21) -> bytes:
    return SIGNATURE + pack("!BBH", command, kind, len(behind)) + behind


V4 = pack("!4s4sHH", IPv4Address("192.0.2.7").packed, IPv4Address("198.51.100.1").packed, 50_000, 443)
V6 = pack("!16s16sHH", IPv6Address("2001:db8::7").packed, IPv6Address("2001:db8::1").packed, 50_000, 443)
LONGEST_ADDRESS = b":".join([b"ffff"] * 8)
WHOLE = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n", Source("192.0.2.7", 50_000)),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n", Source("2001:db8::7", 50_000)),
    (b"PROXY TCP6 2001:DB8:0::7 ::1 0 65535\r\n", Source("2001:db8::7", 0)),
    (
        b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
        Source(":".join(["ffff"] * 8), 65_535),
    ),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 \xff\x00 nonsense\r\n", None),
    (LONGEST_UNKNOWN, None),
    (version_2(0x11, V4), Source("192.0.2.7", 50_000)),
    (version_2(0x12, V4), Source("192.0.2.7", 50_000)),
    (version_2(0x21, V6), Source("2001:db8::7", 50_000)),
    # Addresses, and TLVs behind them.
    (version_2(0x11, V4 + b"\x04\x00\x03abc\x20\x00\x01x"), Source("192.0.2.7", 50_000)),
    (version_2(0x21, V6 + b"\xff" * (MOST_BEHIND - len(V6))), Source("2001:db8::7", 50_000)),
    # The proxy speaks for itself, whatever stands behind.
    (version_2(0x00, command=0x20), None),
    (version_2(0x11, V4, command=0x20), None),
    (version_2(0xFF, b"whatever", command=0x20), None),
    # It does not know, or knows no address.
    (version_2(0x00), None),
    (version_2(0x00, b"ignored"), None),
    (version_2(0x10, V4), None),
    (version_2(0x31, b"/run/s".ljust(216, b"\0")), None),
]


@pytest.mark.parametrize(("header", "source"), WHOLE)
def test_a_header_tells_who_has_connected_and_where_the_rest_begins(header: bytes, source: Source | None) -> None:
    assert read_header(header + b"GET / HTTP/1.1\r\n") == Header(source, len(header))


@pytest.mark.parametrize(("header", "source"), WHOLE)
def test_it_may_arrive_byte_by_byte(header: bytes, source: Source | None) -> None:
    assert all(read_header(header[:end]) is None for end in range(len(header)))
    assert read_header(header) == Header(source, len(header))


@pytest.mark.parametrize(
    "received",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\r\n\r\n\x00\r\nQUIX\n",
        b"\r\nPROXY",
        b"proxy TCP4",
        b"PROXX",
        b"PROXY\tTCP4",
        b"PROXY TCP4\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWNER\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 50000 443\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 50000 443\r\n",
        b"PROXY  TCP4 192.0.2.7 198.51.100.1 50000 443\r\n",
        b"PROXY TCP4 192.0.2.7  198.51.100.1 50000 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443 \r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443 x\r\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 50000 443\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.1 50000 443\r\n",
        b"PROXY TCP4 192.0.2.7 nobody 50000 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 50000 443\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 50000 443\r\n",
        b"PROXY TCP6 fe80::7%eth0 2001:db8::1 50000 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 99999\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 050 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 \xb2 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\n" + b" " * LONGEST_LINE,
        b"PROXY UNKNOWN " + b"f" * LONGEST_LINE,
        LONGEST_UNKNOWN[:-2] + b"f\r\n",
        version_2(0x11, V4, command=0x11),
        version_2(0x11, V4, command=0x22),
        version_2(0x11, V4, command=0x31),
        version_2(0x13, V4),
        version_2(0x41, V4),
        version_2(0x11, V4[:-1]),
        version_2(0x21, V4),
        version_2(0x31, b"/run/s"),
        # Seen before it has come.
        version_2(0x11, V4 + bytes(MOST_BEHIND))[:16],
        version_2(0x00, bytes(MOST_BEHIND + 1), command=0x20)[:16],
        version_2(0x21, V4)[:16],
    ],
)
def test_what_is_none_is_refused(received: bytes) -> None:
    with pytest.raises(HeaderError):
        read_header(received)


@given(family=st.sampled_from([1, 2]), data=st.data(), ports=st.tuples(PORTS, PORTS), rest=st.binary(max_size=40))
def test_both_versions_name_the_same_source(
    family: int, data: st.DataObject, ports: tuple[int, int], rest: bytes
) -> None:
    source, destination = (FAMILIES[family](data.draw(NUMBERS[family])) for _ in range(2))
    first = f"PROXY TCP{4 if family == 1 else 6} {source} {destination} {ports[0]} {ports[1]}\r\n".encode()
    second = version_2(family << 4 | 1, source.packed + destination.packed + pack("!HH", *ports))
    for header in (first, second):
        assert read_header(header + rest) == Header(Source(str(source), ports[0]), len(header))


BEGINNINGS = st.sampled_from(
    [b"", b"P", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21\x11\x00"]
)


@given(st.builds(bytes.__add__, BEGINNINGS, st.binary(max_size=300)))
@example(b"PROXY TCP6 ::%\xff ::1 1 1\r\n")
def test_whatever_comes_is_a_header_or_the_beginning_of_one_or_refused(received: bytes) -> None:
    try:
        header = read_header(received)
    except HeaderError:
        return
    if header is None:
        assert len(received) < 16 + MOST_BEHIND
    else:
        assert 0 < header.length <= len(received)
        assert read_header(received[: header.length]) == header
