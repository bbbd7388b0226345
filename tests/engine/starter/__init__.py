"""The starter model: its pictures, its examiner, its training and its weights."""
