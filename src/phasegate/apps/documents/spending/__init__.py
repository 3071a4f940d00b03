"""What model calls may cost, and what they have cost."""
