"""Easel's GPU side: turns generation requests into images; knows no Discord, no database and no user."""
