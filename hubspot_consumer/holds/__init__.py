"""The protocol by which a run keeps workers from contacts that it writes, both sides of it."""
