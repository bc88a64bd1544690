"""How each kind of job is done: one file a kind, `run(job, ...) -> events`. Imports passes, measure and below."""
