"""``twistd chatd``: the flags, and from them, the environment and the file the service.

Whatever is wrong with the settings ends the start with exit code 1 and one line on standard error. Twisted would
answer a ``usage.UsageError`` with the whole help and its message somewhere below, so the line leaves as SystemExit.
"""

import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, NoReturn, cast

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.python import usage

from chatd.service import build
from chatd.settings.base import SettingsError
from chatd.settings.model import Settings
from chatd.settings.reference import Field, fields, sections
from chatd.settings.sources import CONFIG_HELP, load, unknown_flag
from chatd.settings.version import chatd_version
from chatd.workers.clock import install_monotonic
from chatd.workers.first_lines import JsonFromTheStart

EXAMPLES = """\
Try it out, with nothing to configure (not for production):

  twistd --nodaemon chatd --dev

Behind nginx or HAProxy, with the rest in a file (see etc/chatd.toml):

  twistd --nodaemon chatd --config /etc/chatd/chatd.toml --behind-proxy --host 0.0.0.0 --port 8443

With its own certificate, and secrets in files that only chatd can read:

  twistd --nodaemon chatd --host :: --tls-certificate fullchain.pem --tls-key privkey.pem \\
      --database-dsn-file dsn --encryption-master-keys-file master-keys \\
      --tokens-jwks-file jwks.json --tokens-issuer https://auth.example.com --tokens-audience chat
"""

SOURCES = """\
Every setting has one name: [tls] certificate in the file is CHATD_TLS_CERTIFICATE in the environment and
--tls-certificate here. Flags win over the environment, the environment over the file. Lists are separated by commas.
Documentation: docs/ beside the source, from docs/index.rst on; etc/chatd.toml shows every setting.
"""


class Options(usage.Options):
    """The command line; ``settings`` is there once it was parsed without a problem."""

    synopsis = "[options]"
    optFlags: ClassVar = [[f.flag[2:], None, f.help] for f in fields() if f.flag and f.kind == "boolean"]
    optParameters: ClassVar = [
        ["config", None, None, CONFIG_HELP],
        *([f.flag[2:], None, None, f.help] for f in fields() if f.flag and f.kind != "boolean"),
    ]

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted's
        self._environ = environ
        self.settings: Settings
        self.reload: Callable[[], Settings]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        arguments = sys.argv[1:] if options is None else options
        try:
            self._refuse_unknown(arguments)
            super().parseOptions(arguments)  # type: ignore[no-untyped-call] # Twisted's
        except (SettingsError, usage.UsageError) as error:
            _stop(error)

    def _refuse_unknown(self, arguments: Sequence[str]) -> None:
        """getopt takes the beginning of a flag for the flag, and would read a secret as the name of its file."""
        for argument in arguments:
            name = argument.partition("=")[0]
            if name.startswith("--") and name[2:] and name[2:] not in self.synonyms:
                raise unknown_flag(name)

    def parseArgs(self, *arguments: str) -> None:
        if arguments:
            # Not quoted: it may be a secret that lost its flag.
            raise SettingsError("arguments", "command line", "chatd takes flags only, which begin with --")

    def postOptions(self) -> None:
        given = {f"--{name}": True if value == 1 else value for name, value in self.items() if value not in (None, 0)}
        config = self["config"] or self._environ.get("CHATD_CONFIG")
        if config:
            # twistd may go elsewhere before the settings are read again.
            given["--config"] = os.path.abspath(config)
        self.reload = partial(load, given, self._environ)
        self.settings = self.reload()

    def opt_version(self) -> NoReturn:
        """Show the version of chatd and exit."""
        print(chatd_version())
        raise SystemExit(0)

    def getUsage(self, width: int | None = None) -> str:
        width = max(60, width or int(os.environ.get("COLUMNS", "100")))
        parts = [f"\n{EXAMPLES}\n{SOURCES}\n", _paragraph("--config=PATH", CONFIG_HELP, width)]
        for section, about in sections().items():
            parts.append(f"\n{about}\n")
            parts.extend(_help(field, width) for field in fields() if field.section == section)
        return "".join(parts)


def makeService(options: Options) -> IService:
    """What twistd asks for: the whole of chatd, not yet started."""
    service = _service(options.settings, options.reload)
    if options.settings.log_format == "json" and options.parent is not None:
        return JsonFromTheStart(service, options.parent)
    return service


def service_from_environment() -> IService:
    """The same for a .tac file, which has no flags of its own: the environment, and the file that it names."""
    reload = partial(load, {}, os.environ)
    try:
        settings = reload()
    except SettingsError as error:
        _stop(error)
    return _service(settings, reload)


def _service(settings: Settings, reload: Callable[[], Settings]) -> IService:
    # Not at the top: to import the reactor is to choose it, and that is for twistd's --reactor.
    from twisted.internet import reactor

    install_monotonic(cast(ReactorBase, reactor))
    try:
        return build(settings, reactor, reload)
    except SettingsError as error:
        _stop(error)


def _stop(error: Exception) -> NoReturn:
    raise SystemExit(f"chatd: {error}") from None


def _help(field: Field, width: int) -> str:
    if field.secret:
        return _paragraph(field.environment, f"(in the environment, never a flag) {field.help}", width)
    if field.kind == "boolean":
        return _paragraph(field.flag, field.help, width)
    default = f" [{_shown(field.default)}]" if _shown(field.default) else ""
    return _paragraph(f"{field.flag}={_PLACEHOLDERS[field.kind]}", field.help + default, width)


def _shown(default: object) -> str:
    return ",".join(default) if isinstance(default, tuple) else str(default)


def _paragraph(term: str, text: str, width: int) -> str:
    wrapped = textwrap.fill(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    if len(term) + 4 > len(_INDENT):
        return f"  {term}\n{wrapped}\n"
    return f"  {term}{wrapped[len(term) + 2 :]}\n"


_INDENT = " " * 34
_PLACEHOLDERS = {
    "path": "PATH",
    "address": "ADDRESS",
    "origins": "ORIGINS",
    "networks": "NETWORKS",
    "prefix": "PREFIX",
    "rate": "RATE",
    "choice": "CHOICE",
    "workers": "NUMBER",
    "integer": "NUMBER",
    "seconds": "SECONDS",
    "text": "TEXT",
}
