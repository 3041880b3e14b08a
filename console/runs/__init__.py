"""The commands that the console starts, as processes of their own."""
