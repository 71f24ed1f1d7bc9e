"""The rules of chat. Each handler class holds the commands of one subject; none does I/O of its own."""
