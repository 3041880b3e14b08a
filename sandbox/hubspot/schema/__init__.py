"""What the simulated portal knows of properties, and what a value may be."""
