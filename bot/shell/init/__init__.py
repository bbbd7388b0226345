"""`easel init`: from nothing to settings, the token's file and what keeps the bot running. Knows no Discord client."""
