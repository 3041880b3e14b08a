"""The commands: what each takes, prints and wires."""
