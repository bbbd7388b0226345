"""The model that ships with Easel: its weights. How it was trained and examined: `workshop.starter`."""
