"""``chatctl``: from the command line to an exit code."""

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from chatd.ctl.arguments import parse
from chatd.ctl.database import database
from chatd.ctl.epoch import EpochCommands
from chatd.ctl.keys import KeysCommands, generate
from chatd.ctl.search import SearchCommands
from chatd.ctl.terminal import Terminal, Trouble
from chatd.security.keyring import MasterKeyError, MasterKeys
from chatd.settings.base import SettingsError
from chatd.settings.model import Settings
from chatd.settings.sources import load
from chatd.store.epochs import PostgresEpochs, new_epoch

AMISS = 1
WRONG = 2
INTERRUPTED = "interrupted; what was done stands, and the same command goes on from there"


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Do what the command line says; the exit code."""
    try:
        asked = parse(sys.argv[1:] if arguments is None else arguments, environ)
        if asked.command == "keys generate":
            print(generate(asked.version, datetime.now(UTC)))
            return 0
        settings = load(asked.given, environ)
        masters = _masters(settings)
        if asked.command == "keys shred":
            _confirm(asked, sys.stdin)
    except (SettingsError, MasterKeyError) as error:
        return _say(str(error), WRONG)
    except Trouble as trouble:
        return _say(str(trouble), AMISS)
    except KeyboardInterrupt:
        return _say("interrupted; nothing was done", AMISS)
    return _run(asked, settings, masters)


def _masters(settings: Settings) -> MasterKeys:
    if settings.dev:
        raise SettingsError("dev", "settings", "a try-out has no operator: leave this out, and name a database")
    try:
        return MasterKeys.parse(settings.encryption.master_keys.reveal())
    except MasterKeyError as error:
        raise SettingsError("encryption.master_keys", "the master keys", str(error)) from error


def _confirm(asked: Namespace, stdin: TextIO) -> None:
    """What cannot be undone is asked for twice."""
    if not asked.user:
        raise SettingsError("USER", "command line", "must be a user id, which is not empty")
    if asked.yes:
        return
    if not stdin.isatty():
        raise SettingsError("--yes", "command line", "is needed where there is no terminal to ask on")
    print(
        f"All that {asked.user!r} has written will be unreadable, for everybody and for good.\n"
        "Type the user id once more to go on: ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if stdin.readline().rstrip("\n") != asked.user:
        raise Trouble("that was another user id: nothing was destroyed")


def _run(asked: Namespace, settings: Settings, masters: MasterKeys) -> int:
    codes: list[int] = []

    async def work(reactor: Any) -> None:
        terminal = Terminal(reactor.seconds, structured=asked.json, out=sys.stdout, err=sys.stderr)
        try:
            async with database(settings, reactor) as pool:
                keys = KeysCommands(pool, masters, terminal, reactor)
                search = SearchCommands(pool, masters, settings.search, terminal)
                epoch = EpochCommands(PostgresEpochs(pool, new_epoch), terminal)
                await (keys.commands | search.commands | epoch.commands)[asked.command](asked)
        except Trouble as trouble:
            codes.append(_say(str(trouble), AMISS))
        else:
            codes.append(0)

    try:
        react(lambda reactor: Deferred.fromCoroutine(work(reactor)))
    except SystemExit as end:
        if not codes:
            # A signal ends the reactor, and react() takes that for success; a defect has left its traceback.
            return AMISS if end.code else _say(INTERRUPTED, AMISS)
    return codes[0]


def _say(problem: str, code: int) -> int:
    print(f"chatctl: {problem}", file=sys.stderr, flush=True)
    return code
