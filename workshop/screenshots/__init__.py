"""The pictures of docs/use: the demo's chat page in headless Chromium, one picture a command. Bots never load it."""
