"""The page: one file, one tab. Nothing here (nor what it imports) loads torch; a test holds it to that."""
