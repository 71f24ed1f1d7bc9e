"""Processes: the reactor, its clock, and the embedded PostgreSQL of a try-out."""
