"""Easel's dress rehearsal: a loopback Discord for the real bot, and what is tried on it. Never loaded by a bot that serves."""
