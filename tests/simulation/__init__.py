"""The dispatcher among simulated neighbours: seeded time, engine, Discord and faults, thousands of lives a minute."""
