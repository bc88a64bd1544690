"""The page of whoever looks after a host: the queue, what visitors use, and what can be done about it."""
