"""What one worker keeps in memory about its connections and the conversations that they follow."""
