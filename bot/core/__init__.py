"""The bot's decisions and the life of a job; knows no Discord and no SQL."""
