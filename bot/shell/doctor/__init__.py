"""`easel doctor`: what is the matter with this machine, these settings and these files."""
