"""``chatctl``, with which an operator looks after keys and the search index while chatd runs."""
