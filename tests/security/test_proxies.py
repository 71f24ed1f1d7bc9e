"""Whose word about others counts, and what it comes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.security.proxies import MOST_HOPS, TrustedProxies, address_group
from chatd.settings.networks import trusted_network

TRUSTED = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48", "unix"])
PROXY, OTHER_PROXY, CLIENT, FORGED = "127.0.0.1", "10.1.2.3", "192.0.2.7", "203.0.113.66"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "10.0.0.0",
        "10.255.255.255",
        "::ffff:10.1.1.1",
        "2001:db8:1:9::1",
        "2001:DB8:1::%eth0",
        "",
    ],
)
def test_who_connects_from_a_trusted_address_is_believed(host: str) -> None:
    assert TRUSTED.trusts(host)


@pytest.mark.parametrize("host", ["127.0.0.2", "11.0.0.1", "::1", "2001:db8:2::1", "::10.1.1.1", "unix", "localhost"])
def test_and_nobody_else(host: str) -> None:
    assert not TRUSTED.trusts(host)


def test_by_default_nobody_is() -> None:
    nobody = TrustedProxies([])
    assert not any(nobody.trusts(host) for host in ("127.0.0.1", "::1", "", CLIENT))


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (CLIENT, CLIENT),
        (f"{FORGED}, {CLIENT}", CLIENT),
        (f"127.0.0.1, {CLIENT}", CLIENT),
        (f"{FORGED},{CLIENT},{OTHER_PROXY}", CLIENT),
        (f"{FORGED}, {CLIENT}\t,  {OTHER_PROXY} , 10.9.9.9 ", CLIENT),
        # All of them are proxies: the first one is where it comes from.
        (f"{OTHER_PROXY}, 10.9.9.9", OTHER_PROXY),
        ("", PROXY),
        # No address: what stands to its left is anybody's word.
        ("unknown", PROXY),
        (f"{FORGED}, unknown", PROXY),
        (f"{FORGED}, , {OTHER_PROXY}", OTHER_PROXY),
        (f"{FORGED}, unix:, {OTHER_PROXY}", OTHER_PROXY),
        (f"{CLIENT}:50000", CLIENT),
        ("[2001:db8::7]:50000", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]50000", PROXY),
        ("::ffff:192.0.2.7", CLIENT),
        (f"{CLIENT}\x00", PROXY),
        ("\u0661.1.1.1", PROXY),
        ("1", PROXY),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_trusted_proxy(forwarded: str, client: str) -> None:
    assert TRUSTED.client(PROXY, forwarded) == client


def test_a_list_without_end_is_not_read_to_its_beginning() -> None:
    hops = ", ".join([OTHER_PROXY] * (MOST_HOPS - 1))
    assert TRUSTED.client(PROXY, f"{CLIENT}, {hops}") == CLIENT
    assert TRUSTED.client(PROXY, f"{CLIENT}, {hops}, 10.9.9.9") == OTHER_PROXY


@given(written_by_the_client=st.text(max_size=60), proxies=st.lists(st.just(OTHER_PROXY), max_size=5))
def test_what_a_client_writes_itself_changes_nothing(written_by_the_client: str, proxies: list[str]) -> None:
    assert TRUSTED.client(PROXY, ",".join([written_by_the_client, CLIENT, *proxies])) == CLIENT


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "::1", "2001:db8::/32", "::1/128"])
def test_addresses_and_networks_may_be_trusted(entry: str) -> None:
    assert trusted_network(entry) is not None


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("localhost", "must be an address"),
        ("10.0.0.0/33", "must be an address"),
        ("", "must be an address"),
        ("10.0.0.1/8", "10.0.0.1/8 is an address within 10.0.0.0/8"),
        ("0.0.0.0/0", "trusts everybody"),
        ("::/0", "trusts everybody"),
    ],
)
def test_anything_else_is_refused_with_what_would_be_right(entry: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        trusted_network(entry)


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/chatd.sock", "/run/chatd.sock"),
        ("", ""),
    ],
)
def test_sockets_count_together_by_ipv4_address_and_by_64_bits_of_ipv6(host: str, group: str) -> None:
    assert address_group(host) == group
