"""How a committed change reaches the workers whose clients are waiting for it."""
