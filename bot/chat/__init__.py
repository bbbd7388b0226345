"""The only place that knows discord.py: commands, buttons, messages, delivery."""
