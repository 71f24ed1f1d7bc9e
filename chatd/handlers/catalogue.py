"""All handler classes. A new command needs no line here, a new class of them one."""

from chatd.handlers.conversations import Conversations
from chatd.handlers.history import History
from chatd.handlers.kinds import Kind
from chatd.handlers.liveness import Liveness
from chatd.handlers.messages import MESSAGE, Messages
from chatd.handlers.opening import CREATED
from chatd.handlers.revisions import DELETED, EDITED, PINNED, UNPINNED, Revisions
from chatd.handlers.sync import Resuming
from chatd.records import Signal
from chatd.wire.commands import Declaration, declarations
from chatd.wire.events import EphemeralEvent

HANDLERS: tuple[type, ...] = (Messages, Revisions, History, Conversations, Resuming, Liveness)

DECLARATIONS: tuple[Declaration, ...] = tuple(
    declaration for handler in HANDLERS for declaration in declarations(handler)
)

KINDS: tuple[Kind, ...] = (MESSAGE, EDITED, DELETED, PINNED, UNPINNED, CREATED)

NOTICES: tuple[type[EphemeralEvent], ...] = tuple(
    dict.fromkeys(
        event for declaration in DECLARATIONS for event in declaration.emits if issubclass(event, EphemeralEvent)
    )
)
"""What passes between workers besides changes of logs."""

SIGNALS: tuple[type[Signal], ...] = ()
"""What workers tell each other in passing. A new kind has its place here, or it does not cross."""
