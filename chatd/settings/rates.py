"""How often what may be asked for: one table, from which the limits, their documentation and ``--help`` are made."""

from typing import Annotated

from msgspec import Meta

from chatd.settings.base import Section

RATE = r"^(off|(?!0+(\.0+)?/)([0-9]{1,9}(\.[0-9]{1,3})?)/s burst ([1-9][0-9]{0,8}))\Z"
"""The shape of a rate: so many a second for ever, and so many at once; ``off`` is none."""

Rate = Meta(pattern=RATE, extra={"kind": "rate"})


class Rates(Section, frozen=True, kw_only=True):
    """How much is served: so much a second for long, and a burst at once; docs/deploy/limits.rst says what counts."""

    read: Annotated[str, Rate, Meta(description="Commands of one person that read, by their cost.")] = (
        "100/s burst 1000"
    )
    write: Annotated[str, Rate, Meta(description="Commands of one person that write, by their cost.")] = (
        "100/s burst 500"
    )
    passing: Annotated[
        str, Rate, Meta(description="Commands of one person about what passes: typing, presence, marks, by their cost.")
    ] = "100/s burst 1000"
    search: Annotated[str, Rate, Meta(description="Searches of one person.")] = "2/s burst 30"
    connection: Annotated[str, Rate, Meta(description="Commands on one WebSocket, by their cost.")] = "200/s burst 2000"
    address: Annotated[
        str, Rate, Meta(description="Commands and HTTP requests from one address, each counted once.")
    ] = "1000/s burst 10000"
    refused: Annotated[
        str, Rate, Meta(description="Commands that one connection may have refused before it is closed.")
    ] = "50/s burst 1000"
    failed_auth: Annotated[
        str, Rate, Meta(description="Tokens from one address that do not hold; beyond, none is looked at.")
    ] = "2/s burst 100"
    connects_per_address: Annotated[str, Rate, Meta(description="Connects from one address.")] = "200/s burst 2000"
    connects: Annotated[
        str, Rate, Meta(description="Connects that a worker takes, from wherever; about half of what it could greet.")
    ] = "500/s burst 1000"
