"""What people have in place of the sandbox's own servers: other versions, and poolers."""
