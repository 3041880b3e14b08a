"""The records of the simulated portal: contacts, notes, events and event definitions."""
