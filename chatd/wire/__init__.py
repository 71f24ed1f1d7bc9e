"""What travels: commands, events, their envelope and codecs, and the sans-IO session."""
