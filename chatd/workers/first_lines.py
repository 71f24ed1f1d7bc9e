"""A log that is JSON from twistd's own first line on.

twistd writes "starting up" before any service starts, to an observer that it looks for at the application (see
``twisted.application.app.AppLogger``), and makes itself where there is none.
"""

# Twisted's application classes are not annotated.
# mypy: allow-untyped-calls

from collections.abc import Mapping
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.logger import FileLogObserver, ILogObserver
from twisted.python.components import Componentized
from twisted.scripts._twistd_unix import UnixAppLogger

from chatd.workers.log_lines import as_json


class JsonFromTheStart(MultiService):
    """``service``, which gives the application that it becomes part of an observer that writes JSON.

    ``options`` are twistd's own: the lines go where they say, and whoever gives twistd a ``--logger``, or has it write
    to syslog, keeps that.
    """

    def __init__(self, service: IService, options: Mapping[str, Any]) -> None:
        super().__init__()
        self._options = options
        service.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        """twistd adds the service to its application."""
        if isinstance(parent, Componentized) and not self._options.get("syslog") and not self._options.get("logger"):
            observer = UnixAppLogger(self._options)._getLogObserver()
            if isinstance(observer, FileLogObserver):
                parent.setComponent(ILogObserver, as_json(observer))
        super().setServiceParent(parent)
