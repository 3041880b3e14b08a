"""Dead letters: writing, reading and correcting them, and their resolutions."""
