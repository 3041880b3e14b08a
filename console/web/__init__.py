"""The console's web application: access control, sessions and the rendering of pages."""
