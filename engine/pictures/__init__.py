"""Pictures as files: what comes in, what goes out, and what is written in them; knows Pillow, neither torch nor a model."""
