"""Groups of runs: what they share, and what a group will take. Imports runs and below."""
