"""The parts of the loopback Discord; others use them through `rehearsal/loopback.py`."""
