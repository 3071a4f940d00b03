"""What is guessed and judged about an inventory: pure functions over rows, columns and names."""
