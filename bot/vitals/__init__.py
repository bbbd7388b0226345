"""How the running bot says how it is: logs and health."""
