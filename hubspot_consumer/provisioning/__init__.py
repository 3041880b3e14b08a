"""What a portal lacks of the properties and event definitions, and how it is created."""
