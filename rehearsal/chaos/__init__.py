"""Kills real processes at random while people use the bot, and then counts what became of every request."""
