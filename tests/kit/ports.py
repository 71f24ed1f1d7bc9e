"""Ports that stay a test's own, also while nobody listens on them."""

import socket


def reserve_port() -> socket.socket:
    """A socket that holds a free port of 127.0.0.1 until it is closed; ``getsockname()[1]`` is its number.

    It never listens, so that connects are refused and a server with SO_REUSEADDR, which all of ours have, can take
    the port again and again. The system gives the port to nobody else: neither to who asks for any port, nor as the
    near end of a connect (Linux; see bind(2) and socket(7)).
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
