"""All handler classes. A new command needs no line here, a new class of them one."""

from chatd.handlers.conversations import Conversations
from chatd.handlers.devices import ENDED, OTHERS_ENDED, Devices
from chatd.handlers.history import History
from chatd.handlers.kinds import Kind
from chatd.handlers.liveness import Liveness
from chatd.handlers.messages import MESSAGE, Messages
from chatd.handlers.opening import CREATED
from chatd.handlers.revisions import DELETED, EDITED, PINNED, UNPINNED, Revisions
from chatd.handlers.sync import Resuming
from chatd.handlers.tokens import REVOKED, Tokens
from chatd.wire.commands import Declaration, declarations

HANDLERS: tuple[type, ...] = (Messages, Revisions, History, Conversations, Resuming, Liveness, Devices, Tokens)

DECLARATIONS: tuple[Declaration, ...] = tuple(
    declaration for handler in HANDLERS for declaration in declarations(handler)
)

KINDS: tuple[Kind, ...] = (MESSAGE, EDITED, DELETED, PINNED, UNPINNED, CREATED, ENDED, OTHERS_ENDED, REVOKED)
