"""Bytes in and out: the WebSocket connection handler and the HTTP resources."""
