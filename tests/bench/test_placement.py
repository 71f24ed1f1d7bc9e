"""Which worker a connection has fallen to."""

import socket
import subprocess
import sys
from contextlib import closing

from bench.placement import parse_tcp, workers_of

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0000000000000000 100 0
   1: 0100007F:20FB 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 101 1 0000000000000000 20 4
   2: 0100007F:C350 0100007F:20FB 01 00000000:00000000 00:00000000 00000000     0        0 102 1 0000000000000000 20 4
   3: 0100007F:20FB 0100007F:C351 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000 20 4
"""

PARENT = """
import subprocess, sys
child = [sys.executable, "-c", "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); sys.stdin.read()"]
with subprocess.Popen([*child, sys.argv[1]], pass_fds=[int(sys.argv[1])]) as process:
    print(process.pid, flush=True)
"""


def test_of_the_kernels_table_accepted_sockets_that_live_are_taken() -> None:
    assert dict(parse_tcp(TABLE, 0x20FB)) == {"101": 0xC350}


def test_a_connection_is_found_at_the_child_that_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port))) as client, listening.accept()[0] as accepted:
            command = [sys.executable, "-c", PARENT, str(accepted.fileno())]
            with subprocess.Popen(
                command, pass_fds=[accepted.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as parent:
                assert parent.stdout is not None
                child = int(parent.stdout.readline())
                assert workers_of(parent.pid, port) == {client.getsockname()[1]: child}
                parent.communicate()
