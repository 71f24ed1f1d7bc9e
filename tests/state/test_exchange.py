"""Signals reach whoever listens to their kind, whatever becomes of the others who do."""

from chatd.records.base import Signal
from chatd.state.exchange import Exchange


class Rain(Signal, frozen=True, kw_only=True, tag="rain"):
    """One kind."""


class Snow(Signal, frozen=True, kw_only=True, tag="snow"):
    """Another."""


def test_a_signal_reaches_all_who_listen_to_its_kind_and_nobody_else():
    heard = []
    exchange = Exchange(heard.append)
    exchange.listen(Rain, lambda signal: heard.append(("one", signal)))
    exchange.listen(Rain, lambda signal: heard.append(("other", signal)))
    exchange.listen(Snow, lambda signal: heard.append(("snow", signal)))
    exchange.heed(Rain())
    assert heard == [("one", Rain()), ("other", Rain())]


def test_a_listener_that_fails_keeps_nobody_else_from_hearing():
    heard, failed = [], []
    exchange = Exchange(failed.append)
    exchange.listen(Rain, lambda signal: heard.fail)
    exchange.listen(Rain, heard.append)
    exchange.heed(Rain())
    assert heard == [Rain()]
    assert [type(error) for error in failed] == [AttributeError]
