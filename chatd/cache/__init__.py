"""What workers share to save time, and nothing else: in memory, or in Redis."""
