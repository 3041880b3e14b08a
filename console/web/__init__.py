"""The console as a web application: who may see what, and how pages are made."""
