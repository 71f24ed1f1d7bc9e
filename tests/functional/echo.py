"""An echo with the options, guards and frames of chatd's own connections, for tests of the WebSocket protocol itself.

``python -m tests.functional.echo [--compression] [--limit=BYTES] [--port=PORT]`` prints its address and serves until
it is ended.
"""

import sys
from argparse import ArgumentParser
from types import SimpleNamespace
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react

from chatd.edge.frames import FrameForm
from chatd.edge.guarded import GuardedProtocol
from chatd.edge.websocket import ConnectionFactory
from chatd.settings.limits import Limits
from chatd.settings.model import Settings
from chatd.wire.codec import JsonCodec, MsgpackCodec

FORMS = {codec.binary: FrameForm(codec) for codec in (JsonCodec(Any), MsgpackCodec(Any))}


class EchoProtocol(GuardedProtocol):
    """Sends back what comes."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._perMessageCompress is None:
            self.transport.write(FORMS[isBinary].frames(payload).wire)
        else:
            self.sendMessage(payload, isBinary)


class EchoFactory(WebSocketServerFactory):
    """Has its options set by the very method that sets those of chatd."""

    protocol = EchoProtocol

    def __init__(self, settings: Settings) -> None:
        super().__init__(server="", reactor=reactor)
        self.gateway = SimpleNamespace(settings=settings, reactor=reactor)
        ConnectionFactory._set_options(self)


async def main(reactor: Any, *arguments: str) -> None:
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--compression", action="store_true")
    parser.add_argument("--limit", type=int, default=Limits().max_message_bytes)
    options = parser.parse_args(arguments)
    limits = Limits(compression=options.compression, max_frame_bytes=options.limit, max_message_bytes=options.limit)
    factory = EchoFactory(Settings(limits=limits))
    port = await TCP4ServerEndpoint(reactor, options.port, interface="127.0.0.1").listen(factory)
    print(f"ws://127.0.0.1:{port.getHost().port}/", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
