"""What an owner types: the commands of `easel`; knows people's chat only through the bot's own app."""
