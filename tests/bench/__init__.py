"""Measurements of the running bot against the loopback Discord; `easel bench` runs them from a checkout."""
