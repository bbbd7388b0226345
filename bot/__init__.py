"""Easel's Discord side: takes requests, keeps the books, posts images; never imports torch."""

__version__ = "0.1.0"
DISTRIBUTION = "easel-imagine"
"""What pip calls all of Easel; `engine.pictures.metadata` says it again, since the engine knows no bot."""
