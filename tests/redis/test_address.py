"""Where Redis is, from a URL and a file of certificates."""

from typing import Any

import pytest
from twisted.internet import reactor

from chatd.redis.address import RedisAddress, endpoint


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", RedisAddress(host="h")),
        ("redis://h:7/0", RedisAddress(host="h", port=7)),
        ("rediss://u:p%40@h", RedisAddress(host="h", tls=True, username="u", password="p@")),
        ("redis://:p@[::1]:7", RedisAddress(host="::1", port=7, password="p")),
        ("unix:///run/redis.sock", RedisAddress(path="/run/redis.sock")),
        ("unix://:p@/run/redis.sock", RedisAddress(path="/run/redis.sock", password="p")),
    ],
)
def test_where_redis_is(url: str, address: RedisAddress) -> None:
    assert RedisAddress.parse(url) == address


@pytest.mark.parametrize("url", ["", "h:6379", "http://h", "redis://", "redis://:secret@h:99999", "unix://"])
def test_what_says_nothing_of_where_redis_is(url: str) -> None:
    with pytest.raises(ValueError, match=r"it is no URL|its port") as refused:
        RedisAddress.parse(url)
    assert "secret" not in str(refused.value)


def test_a_file_without_certificates_is_no_ca(tmp_path: Any) -> None:
    address = RedisAddress(host="localhost", tls=True)
    for text in ("", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        path = tmp_path / "ca.pem"
        path.write_text(text)
        with pytest.raises(ValueError, match="certificate"):
            endpoint(reactor, address, str(path))
