"""The pages, each with the routes and actions that belong to it."""
