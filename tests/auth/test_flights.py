"""Whoever asks the same meanwhile shares the outcome, good or bad; afterwards it is asked anew."""

import pytest
from twisted.internet.defer import Deferred

from chatd.auth.flights import Flights
from tests.kit.at_once import watch


@pytest.mark.parametrize("bad", [False, True])
def test_the_outcome_is_shared(bad):
    flights, begun = Flights(), []

    def begin():
        begun.append(Deferred())
        return begun[-1]

    asking = [watch(flights.join(key, begin)) for key in ("a", "a", "b")]
    assert (len(begun), len(flights), "a" in flights) == (2, 2, True)
    begun[0].errback(ValueError()) if bad else begun[0].callback(7)
    assert [one.ended for one in asking] == [True, True, False]
    for one in asking[:2]:
        assert isinstance(one.error, ValueError) if bad else one.result == 7
    assert "a" not in flights
    watch(flights.join("a", begin))
    assert len(begun) == 3
