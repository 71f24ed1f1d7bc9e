"""Makes ``twistd chatd`` known to Twisted."""

from twisted.application.service import ServiceMaker

chatd = ServiceMaker("chatd", "chatd.tap", "A real-time messaging server: WebSocket and HTTP, on PostgreSQL.", "chatd")
