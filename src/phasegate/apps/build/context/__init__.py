"""What the model is shown of a repository, and what it costs."""
