"""What stands between an answer and its use: questions to a person, mechanical checks, acceptance by a person."""
