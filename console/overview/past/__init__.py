"""The overview of the past: samples and marks of the last day, in memory, and in a file for the next console."""
