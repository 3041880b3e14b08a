"""Dead letters: written, read, corrected, and what became of them."""
