"""What a job will take, and whether it can work at all, before it starts. No torch. Imports measure and below."""
