"""From a folder to a model in memory, on disk block by block, or over several devices."""
