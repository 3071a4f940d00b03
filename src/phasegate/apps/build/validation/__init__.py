"""What must hold for a set of changes before a byte of it is written."""
