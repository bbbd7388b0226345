"""`python -m easel` is `easel`."""

from __future__ import annotations

from bot.shell.cli import main

if __name__ == "__main__":  # the spawned engine imports this file again, under another name
    main()
