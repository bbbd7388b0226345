"""Kills, stops and ends real processes while people use the bot, and then counts what became of every request."""
