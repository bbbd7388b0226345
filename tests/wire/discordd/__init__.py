"""The parts of the loopback Discord; tests use them through `tests/wire/loopback.py` only."""
