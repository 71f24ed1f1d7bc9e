"""chatd, a real-time messaging server: an acknowledged message is committed, and any client resumes anywhere."""
