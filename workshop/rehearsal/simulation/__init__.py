"""Seeded lives of the dispatcher in virtual time, with a simulated engine and Discord; starts no process."""
