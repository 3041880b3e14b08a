"""Gates before each call: the circuit breaker, the pause, the suppressions and the unwritable properties."""
