"""What a server's rules forbid, and what was decided about pictures; knows no Discord and no SQL."""
