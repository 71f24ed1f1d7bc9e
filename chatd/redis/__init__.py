"""How chatd comes to Redis and speaks with it, whatever for."""
