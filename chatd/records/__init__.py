"""Frozen rows: what the parts of chatd hand to each other, by topic."""
