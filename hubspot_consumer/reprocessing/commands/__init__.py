"""The commands of reprocessing: what each takes, and what it says."""
