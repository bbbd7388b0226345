"""Tests that look at the demo's chat page through a real browser."""
