"""twistd, to be run as a module."""

from twisted.scripts.twistd import run

run()
