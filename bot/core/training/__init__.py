"""Trainings that people begin in the chat: run as guests beside the pictures, by a process of their own; no Discord and no SQL."""
