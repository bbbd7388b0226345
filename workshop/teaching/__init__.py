"""Teaches the starter model what it does not know, and examines what came of it."""
