"""Files of models, and what they say of themselves; knows folders, single files and the hub, no torch."""
