"""Pages of the documentation that are made from what the program says of itself."""
