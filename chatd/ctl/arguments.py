"""The command line of ``chatctl``: its sub-commands, and every flag that ``twistd chatd`` has."""

import argparse
import os
import textwrap
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NoReturn

from chatd.settings.reference import Field, fields
from chatd.settings.sources import CONFIG_HELP, unknown_flag
from chatd.settings.version import chatd_version

WIDTH = 115
ABOUT = """\
Looks after the keys, the search index and the epoch of a chatd while that runs. It needs the settings that chatd has:
give it the same file, environment and flags.
"""
OUTCOMES = """\
Every flag of `twistd chatd --help` may be given too, before or behind the names of the command.

Exit codes: 0 it was done, or all is well; 1 it was not, or something is amiss, which standard error says in one line;
2 the command line or the settings are wrong. What was interrupted goes on where it was when it is started again.
Documentation: keys.rst, search.rst and postgresql.rst in docs/deploy beside the source.
"""
GENERATE = "Print a line with a new master key, to be put at the end of the master keys. It needs no settings."
STATUS = (
    "Show how many data keys each master key wraps. Exit code 1 if there are any whose master key is not configured."
)
ROTATE = (
    "Wrap every data key by the current master key, the last line of the master keys, while chatd runs; then prove that"
    " all of them open with that one alone. Before, give every chatd the new line and reload it. Only if this ends with"
    " exit code 0 may older lines be removed. It may be interrupted and started again at any time."
)
SHRED = (
    "Destroy the data key of a person, so that nobody can ever read again what they wrote, and delete what is kept of"
    " their words: the tokens that their messages are found by, their reactions and their profile. Revoke their tokens"
    " first. There is no way back but a backup of the database that is older."
)
REINDEX = (
    "Index the messages that were written while search was off, so that they are found too. Let chatd search first. It"
    " may be interrupted and started again at any time, and goes on while people write, edit and delete."
)
EPOCH_STATUS = (
    "Show the epoch, which is what clients' cursors are of, and where the database was when it began. Exit code 1 if"
    " the database is somewhere else by now, since it was restored, moved or promoted."
)
RENEW = (
    "Begin another epoch, so that clients resynchronise instead of missing what was written since. Do this when the"
    " database may have gone back and chatd cannot have noticed: a copy of the files was put back in place, or tables"
    " were restored one by one. Workers that run close their connections, end, and are started again."
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and ends with exit code 2."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """What was asked for: ``command``, its arguments, and ``given``, the flags that are settings.

    Raises SettingsError for a flag that does not exist, without its value; SystemExit for what argparse refuses.
    """
    parser = _parser()
    known = {"--help", "--version", "--json", "--yes", "--config", *(field.flag for field in fields())}
    for argument in takewhile("--".__ne__, arguments):
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in known:
            raise unknown_flag(name)
    asked = parser.parse_args(arguments)
    given = {name: value for name, value in vars(asked).items() if name.startswith("--")}
    config = given.get("--config") or environ.get("CHATD_CONFIG")
    if config:
        given["--config"] = os.path.abspath(config)
    asked.given = given
    asked.command = f"{asked.subject} {asked.action}"
    return asked


def _parser() -> Parser:
    settings = _settings()
    parser = Parser(prog="chatctl", description=ABOUT, epilog=OUTCOMES, parents=[settings])
    parser.add_argument("--version", action="version", version=chatd_version())
    subjects = parser.add_subparsers(metavar="COMMAND", required=True, dest="subject")

    def subject(name: str, help: str) -> Any:
        one = subjects.add_parser(name, help=help, epilog=OUTCOMES, parents=[settings])
        return one.add_subparsers(metavar="ACTION", required=True, dest="action")

    def action(group: Any, name: str, help: str, *, json: bool = True) -> Parser:
        description = textwrap.fill(help, WIDTH)
        one: Parser = group.add_parser(
            name, help=help.partition(".")[0], description=description, epilog=OUTCOMES, parents=[settings]
        )
        one.set_defaults(json=False)
        if json:
            one.add_argument("--json", action="store_true", help="write one JSON object to standard output")
        return one

    keys = subject("keys", "master keys and people's data keys")
    generate = action(keys, "generate", GENERATE, json=False)
    generate.add_argument("version", nargs="?", metavar="VERSION", help="its name; the date unless given")
    action(keys, "status", STATUS)
    action(keys, "rotate", ROTATE)
    shred = action(keys, "shred", SHRED)
    shred.add_argument("user", metavar="USER", help="the person's user id, which is the sub of their tokens")
    shred.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")
    search = subject("search", "the index of messages")
    action(search, "reindex", REINDEX)
    epoch = subject("epoch", "what clients' cursors are of")
    action(epoch, "status", EPOCH_STATUS)
    action(epoch, "renew", RENEW)
    return parser


def _settings() -> Parser:
    """The flags that are settings, of which only the file is shown: the others are many."""
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--config", dest="--config", metavar="PATH", help=CONFIG_HELP)
    for field in fields():
        if field.flag:
            _add(parser, field)
    return parser


def _add(parser: Parser, field: Field) -> None:
    if field.kind == "boolean":
        parser.add_argument(field.flag, dest=field.flag, action="store_true", help=argparse.SUPPRESS)
    else:
        parser.add_argument(field.flag, dest=field.flag, help=argparse.SUPPRESS)
