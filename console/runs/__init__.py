"""The commands that the console starts, each in a process of its own."""
