"""The workflow executor: state and context in, state and context out."""
