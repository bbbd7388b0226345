"""One writer for each message: live edits, the finished pictures, and who hears of an outage."""
