"""Runs outside the page: the store, the queue, one worker process per run, one reader process, one inspector.

    Store ── runs.db (index and queue) + runs/<id>/ (job.json, events.jsonl, checkpoint/) + studies/<id>/study.json
      │
    Launcher.tick()  claims the oldest queued run ──spawns──> worker ──events──> events.jsonl
      │                                                          │
    every view folds the events (Store.get)            execute.run(job, context)

`Store` is the one front. Behind it: `making` and `removal`, `records` (the fold), `entries` (of lists), `lineage`,
`folders` (what lies where) and `from_folders` (the index made again).

For Linux and macOS (file locks, process groups). Nothing here imports torch, except the processes
`worker`, `reader` and `inspector` once they run. Imports execute and below.
"""
