"""The protocol of holds, both sides: a run keeps workers from writing the contacts that it writes itself."""
