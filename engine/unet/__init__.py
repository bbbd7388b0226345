"""One forward of a UNet: its rows, what it costs, and what makes it faster; knows no request."""
