"""The console: what happened to a contact, whether we keep up, and what is stuck, on one web page; and what to do."""
