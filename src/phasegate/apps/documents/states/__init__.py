"""What is known about an execution in memory, and how it is kept in files."""
