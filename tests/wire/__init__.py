"""Tests over real sockets: an unmodified discord.py client against a loopback Discord."""
