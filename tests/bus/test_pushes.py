"""What Redis pushes, however it is cut on its way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.bus.pushes import Push, Pushes

MOST = 100


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def written(push: Push) -> bytes:
    return b"*3\r\n" + b"".join(map(bulk, push))


texts = st.one_of(st.binary(max_size=MOST), st.sampled_from([b"\r\n", b"$3\r\nabc\r\n", b"*3\r\n", b""]))


@given(st.lists(st.lists(texts, min_size=3, max_size=3), max_size=8), st.data())
def test_all_come_whole_and_in_order_wherever_they_are_cut(pushes: list[Push], data: st.DataObject) -> None:
    wire = b"".join(map(written, pushes))
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=10).map(sorted))
    taking, taken = Pushes(MOST), []
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        taken += taking.take(wire[begin:end])
    assert taken == pushes


def test_a_subscription_counts_the_channels() -> None:
    assert Pushes(MOST).take(b"*3\r\n$9\r\nsubscribe\r\n$3\r\nall\r\n:12\r\n") == [[b"subscribe", b"all", b"12"]]


@pytest.mark.parametrize(
    "data",
    [
        b"-NOPERM no permissions to access a channel\r\n",
        b"+OK\r\n",
        b"*2\r\n",
        b"*x\r\n",
        b"*3\r\n+message\r\n",
        b"*3\r\n$-1\r\n",
        b"*3\r\n$101\r\n",
        b"*3\r\n$999999999999999999999\r\n",
        b"\r\n",
        b"*" + b"1" * 100,
        b"\x00\xff\r\n",
    ],
)
def test_what_is_no_push_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it says what Redis said
        Pushes(MOST).take(data)
