"""PostgreSQL through txpostgres, and the memory twin that is held to the same contract."""
