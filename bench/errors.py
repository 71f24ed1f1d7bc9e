"""Why a bench ends without figures."""


class BenchError(Exception):
    """The measurement could not be made: a server did not start, a connection was refused or lost."""


class Violation(BenchError):
    """A server answered what it must not: a message lost, repeated, out of order, or with a gap before it."""
