"""The documents as a site: what MkDocs is told, and the checks of what it has built."""
