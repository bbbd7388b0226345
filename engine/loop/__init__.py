"""Who draws next: the engine's tick; knows no torch."""
