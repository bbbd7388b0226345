"""How the running bot says how it is: logs, the journal, health, metrics, charts."""
