"""The matrix: the whole path on each promised combination of servers, and the table of what was run."""
