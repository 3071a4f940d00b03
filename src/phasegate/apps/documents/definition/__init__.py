"""From a definition in a file to a workflow that has been checked."""
