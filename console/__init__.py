"""The console: a web application that shows event flow, contact histories and stuck events, and starts actions."""
