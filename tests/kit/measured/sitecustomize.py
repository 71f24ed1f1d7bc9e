"""In processes whose coverage is measured: what others wrote is imported before lines are counted.

Python looks for a module of this name when it starts, in all folders of PYTHONPATH. Half of a server's start would else
go into asking of each line of the libraries whether it counts.
"""

from importlib import import_module

from coverage import Coverage

LIBRARIES = (
    "autobahn.twisted.websocket",
    "cryptography.x509",
    "jwt",
    "msgspec",
    "prometheus_client",
    "psycopg2",
    "regex",
    "treq",
    "twisted.application.service",
    "twisted.internet.ssl",
    "twisted.scripts.twistd",
    "twisted.web.server",
    "txpostgres",
    "werkzeug.routing",
)
"""What every server imports; none of it installs a reactor."""

if (measuring := Coverage.current()) is not None:
    measuring.stop()
    for library in LIBRARIES:
        import_module(library)
    measuring.start()
