"""Searches among smaller models: what decides one, and which shapes are within its budget. No torch."""
