"""The parts of the loopback Discord; others use them through `workshop/rehearsal/loopback/driver.py`."""
