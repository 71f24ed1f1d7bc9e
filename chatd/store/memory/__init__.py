"""The store in memory: the twin of PostgreSQL's, for tests and for embedding. It ends with the process.

Nothing in it waits, so every call is a transaction by itself.
"""
