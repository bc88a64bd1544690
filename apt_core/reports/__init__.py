"""Runs told to somebody outside: recorded samples. Imports runs and below."""
