"""The same service as ``twistd chatd``, for those who start a .tac file: ``twistd --nodaemon --python etc/chatd.tac``.

A .tac file has no flags, so the settings come from CHATD_ variables and from the file that CHATD_CONFIG names.
"""

from twisted.application.service import Application

from chatd.tap import service_from_environment

application = Application("chatd")
service_from_environment().setServiceParent(application)
