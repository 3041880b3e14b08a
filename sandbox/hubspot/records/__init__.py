"""What the simulated portal holds: contacts, notes, events and their definitions."""
