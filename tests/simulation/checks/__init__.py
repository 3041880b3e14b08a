"""What must hold at each step of a simulation."""
