"""The page of a host's administrator: the queue, what visitors use, and what can be done about it."""
