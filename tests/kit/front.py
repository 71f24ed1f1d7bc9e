"""The proxies of the documentation, with its own files: nothing but ports and paths is another."""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Self

from tests.kit.certificates import write_certificate
from tests.kit.clients import Client, headers
from tests.kit.ports import reserve_port
from tests.kit.server import ENDS_WITH_US, ROOT
from tests.kit.waiting import WITHIN_S, wait_for

DOCUMENTED = ROOT / "docs" / "deploy"
NOBODY = 65534


def program(name: str) -> str | None:
    """Where it is; distributions have such programs outside of the PATH of users."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class FrontAnswer:
    """``headers`` by their names in lower case."""

    status: int
    headers: dict[str, str]


class Front:
    """One proxy, in front of two machines. ``replaced`` are the texts of its file that are other ones here."""

    configuration: str

    def __init__(self, folder: Path, machines: tuple[int, int], *, as_nobody: bool = False) -> None:
        self.folder = folder
        folder.mkdir()
        write_certificate(folder)
        chain = (folder / "certificate.pem").read_text()
        (folder / "both.pem").write_text(chain + (folder / "key.pem").read_text())
        self._reserved = reserve_port()
        self.port: int = self._reserved.getsockname()[1]
        self._log = folder / "front.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._as_nobody = as_nobody
        text = (DOCUMENTED / self.configuration).read_text()
        replaced = {"127.0.0.1:8443": f"127.0.0.1:{machines[0]}", "127.0.0.1:8444": f"127.0.0.1:{machines[1]}"}
        for documented, here in {"0.0.0.0:443": f"127.0.0.1:{self.port}", **replaced, **self.paths()}.items():
            assert documented in text, documented
            text = text.replace(documented, here)
        (folder / self.configuration).write_text(text)
        if as_nobody:
            for path in (folder, *folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)

    def paths(self) -> dict[str, str]:
        """The documentation's paths, and those here."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """What runs it in the foreground."""
        raise NotImplementedError

    def start(self) -> Self:
        """Return once it listens."""
        account = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if self._as_nobody else []
        setpriv, *deathsig, end = ENDS_WITH_US
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [setpriv, *deathsig, *account, end, *self.command()], cwd=self.folder, stdout=log, stderr=log
            )
        wait_for(self._listens)
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def close(self) -> None:
        """Leave no process behind."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WITHIN_S)
        self._reserved.close()

    # -- as clients use it --

    @property
    def tls(self) -> ssl.SSLContext:
        """Trusts its certificate alone."""
        context = ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))
        context.check_hostname = False
        return context

    def get(
        self, path: str, token: str | None = None, *, host: str = "127.0.0.1", more: Mapping[str, str] | None = None
    ) -> FrontAnswer:
        """The answer to a request on a connection of its own, from the address ``host``."""
        connection = HTTPSConnection(
            "127.0.0.1", self.port, timeout=WITHIN_S, context=self.tls, source_address=(host, 0)
        )
        try:
            connection.request("GET", path, headers=headers(token, None) | dict(more or {}))
            response = connection.getresponse()
            # HAProxy writes all names in lower case.
            named = {name.lower(): value for name, value in response.getheaders()}
            return FrontAnswer(response.status, named)
        finally:
            connection.close()

    def connect(self, token: str, **options: Any) -> Client:
        """A WebSocket."""
        context = self.tls
        # Its client reads and writes in two threads. OpenSSL is not made for that, and in TLS 1.3 a session ticket that
        # is being read may keep a request from being written until the proxy's patience ends.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return Client(f"wss://127.0.0.1:{self.port}/v1/ws", token, ssl=context, **options)


class Nginx(Front):
    """It speaks for clients by X-Forwarded-For."""

    configuration = "nginx.conf"
    proxies: Mapping[str, object] = {"trusted": ["127.0.0.1"]}

    def paths(self) -> dict[str, str]:
        return {
            "/run/chatd-nginx": str(self.folder),
            "/etc/chatd/tls/fullchain.pem": str(self.folder / "certificate.pem"),
            "/etc/chatd/tls/privkey.pem": str(self.folder / "key.pem"),
        }

    def command(self) -> list[str]:
        file = str(self.folder / self.configuration)
        return [str(program("nginx")), "-c", file, "-e", "stderr", "-g", "daemon off;"]


class Haproxy(Front):
    """It speaks for clients by the PROXY protocol."""

    configuration = "haproxy.cfg"
    proxies: Mapping[str, object] = {"trusted": ["127.0.0.1"], "proxy_protocol": True}

    def paths(self) -> dict[str, str]:
        return {"/etc/chatd/tls/chatd.pem": str(self.folder / "both.pem")}

    def command(self) -> list[str]:
        return [str(program("haproxy")), "-db", "-f", str(self.folder / self.configuration)]
