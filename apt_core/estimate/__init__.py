"""What a job will take, and whether it can work at all, before it starts. Imports measure and below.

No torch, but for `measuring` (a process of its own) and `placing` (in the worker).
"""
