"""``chatctl``, with which an operator looks after keys, the search index and the epoch while chatd runs."""
