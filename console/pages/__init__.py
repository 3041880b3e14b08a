"""The pages of the console, each with its routes and actions."""
