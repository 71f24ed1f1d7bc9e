"""How ``chatctl`` speaks: results on standard output, everything else on standard error."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TextIO

TERMINAL_SECONDS = 0.2
"""How often progress is shown to somebody who watches."""
LINE_SECONDS = 5.0
"""How often it is written where each time adds a line."""

Shown = Callable[[int, int], None]
"""Told of progress: how many are done, of how many."""


class Trouble(Exception):
    """What could not be done, or is amiss: one line that says what to do about it."""


class Terminal:
    """Standard output and error of one command. ``clock`` tells seconds, of which only differences count."""

    def __init__(self, clock: Callable[[], float], *, structured: bool, out: TextIO, err: TextIO) -> None:
        self._structured = structured
        self._out = out
        self._err = err
        self.clock = clock

    def result(self, fields: Mapping[str, Any], *lines: str) -> None:
        """What came of the command: as one JSON object, if that was asked for, or in plain lines."""
        texts = [json.dumps(fields)] if self._structured else lines
        for text in texts:
            print(text, file=self._out, flush=True)

    def note(self, text: str) -> None:
        """Something for whoever is waiting."""
        print(text, file=self._err, flush=True)

    def progress(self, what: str) -> "Progress":
        """Shows how long work goes on; ``what`` is counted."""
        return Progress(what, self._err, self.clock)


class Progress:
    """One line that changes on a terminal; elsewhere a line every LINE_SECONDS, so none of short work."""

    def __init__(self, what: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._what = what
        self._stream = stream
        self._clock = clock
        self._watched = stream.isatty()
        self._began = self._shown = clock()
        self._line = ""

    def show(self, done: int, total: int) -> None:
        """So many of ``total`` are done."""
        now = self._clock()
        rate = done / (now - self._began) if now > self._began else 0.0
        self._line = f"{self._what}: {done:,} of {total:,}, {rate:,.0f} a second"
        if now - self._shown >= (TERMINAL_SECONDS if self._watched else LINE_SECONDS):
            self._shown = now
            self._write(self._line)

    def end(self) -> None:
        """The work has ended: what was shown last stays on the terminal."""
        if self._watched and self._line:
            self._write(self._line)
            print(file=self._stream, flush=True)

    def _write(self, line: str) -> None:
        # On a terminal: back to the beginning of the line, and clear what is left of it behind (ECMA-48, CR and EL).
        print(f"\r{line}\x1b[K" if self._watched else line, end="" if self._watched else "\n", file=self._stream)
        self._stream.flush()
