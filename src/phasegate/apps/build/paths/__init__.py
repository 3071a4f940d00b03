"""What a path may say, what it may touch, and how the repository's files are reached by it."""
