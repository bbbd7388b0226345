"""The engine as the bot sees it: starting, watching, restarting; knows no job's row."""
