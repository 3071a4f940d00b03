"""Document workflows: JSON documents produced step by step with a language model, checked, clarified and accepted."""
