"""What may keep a call from going out: a halt, a pause, a suppression, a property that is not written."""
