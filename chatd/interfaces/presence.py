"""Who is there."""

from collections.abc import Awaitable, Sequence

from zope.interface import Interface

from chatd.records.presence import Lease, Seen


class IPresenceStore(Interface):
    """The leases that say who is online. Their times are the database's, whatever the clocks of machines show.

    A worker holds one lease under a random id; what it says of people counts while that runs. One that has run out is
    never renewed: its worker begins anew, under another id.
    """

    def begin(worker: str, seconds: float) -> Awaitable[None]:
        """Give ``worker``, an id that nobody has used, a lease of so many seconds."""

    def renew(worker: str, seconds: float) -> Awaitable[bool]:
        """Have a lease run for so many seconds from now, more or less than before; False where it had run out."""

    def write(worker: str, leases: Sequence[Lease]) -> Awaitable[bool]:
        """Say as what people count at ``worker``, each once; False, with nothing changed, where its lease has run out.

        Whoever was visible there and is no longer was last seen now.
        """

    def sweep(limit: int) -> Awaitable[list[str]]:
        """Remove at most ``limit`` people from a worker whose lease has run out, and the worker with the last of them.

        Who they were: told to one of those who sweep at once. They were last seen when that lease was last renewed.
        Fewer than ``limit`` mean that nothing is left of that worker, or that there was none.
        """

    def read(users: Sequence[str]) -> Awaitable[list[Seen]]:
        """How these people are to be found, each once, in no particular order; unknown ones are offline."""

    def acquainted(pairs: Sequence[tuple[str, str]]) -> Awaitable[set[tuple[str, str]]]:
        """Those of the pairs whose two people are members of a conversation together, or follow each other."""
