"""The commands that are soon done, one a file."""
