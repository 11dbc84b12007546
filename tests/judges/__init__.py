"""Other people's programs as judges: each test starts them, and skips where they are missing."""
