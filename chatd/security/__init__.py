"""Tokens, keys, limits and access as pure logic."""
