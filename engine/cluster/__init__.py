"""Engines on the hosts of a Ray cluster: the link to one, what runs beside it on its host, and a cluster of this host alone."""
