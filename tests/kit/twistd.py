"""twistd as it is, with one thing added: where coverage is measured, its figures are written before the end.

twistd ends by the signal that stopped it, so nothing that Python does at an orderly exit is done.
"""

from coverage import Coverage
from twisted.internet import reactor
from twisted.scripts.twistd import run

if (measuring := Coverage.current()) is not None:
    reactor.addSystemEventTrigger("after", "shutdown", measuring.save)

run()
