"""What was said about tokens is remembered within bounds, and bad ones displace no good ones."""

from chatd.state.verdicts import Verdict, Verdicts


def test_the_latest_verdict_counts():
    verdicts = Verdicts(10)
    good, bad = Verdict(active=True, at=1.0), Verdict(active=False, at=2.0)
    verdicts.keep(b"a", good)
    assert verdicts.get(b"a") is good
    verdicts.keep(b"a", bad)
    assert verdicts.get(b"a") is bad
    assert verdicts.get(b"b") is None
    assert len(verdicts) == 1


def test_what_is_no_token_displaces_nobody():
    verdicts = Verdicts(2)
    verdicts.keep(b"good", Verdict(active=True, at=0.0))
    for n in range(100):
        verdicts.keep(b"%d" % n, Verdict(active=False, at=float(n)))
    assert verdicts.get(b"good") is not None
    assert len(verdicts) == 3


def test_those_least_looked_at_go_first():
    verdicts = Verdicts(2)
    for name in (b"a", b"b"):
        verdicts.keep(name, Verdict(active=True, at=0.0))
    verdicts.get(b"a")
    verdicts.keep(b"c", Verdict(active=True, at=0.0))
    assert [verdicts.get(name) is not None for name in (b"a", b"b", b"c")] == [True, False, True]
