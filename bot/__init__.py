"""Easel's Discord side: takes requests, keeps the books, posts images; never imports torch."""

__version__ = "0.1.0"
