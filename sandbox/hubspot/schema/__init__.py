"""The properties of the simulated portal, and the validation of their values."""
