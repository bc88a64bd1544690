"""Runs outside the page: the store, the queue, one worker process per run, one reader process.

    Store ── runs.db (index and queue) + runs/<id>/ (recipe.json, events.jsonl, checkpoint/)
      │
    Launcher.pump()  claims the oldest queued run ──spawns──> worker ──events──> events.jsonl
      │                                                          │
    every view folds the events (Store.get)            pipeline.run(recipe)

For Linux and macOS (file locks, process groups). Nothing here imports torch, except the two processes
`worker` and `reader` once they run.
"""
