"""Why a batch was not taken, where that is neither the client's fault nor an outage. Nothing was changed then."""


class Repeated(Exception):
    """An author used one of these ``client_id`` before: :meth:`~chatd.interfaces.log.ILogStore.repeats` tells which."""


class Refused(Exception):
    """The database cannot hold something in the batch, now or ever, and does not say which of it."""
