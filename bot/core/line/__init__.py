"""The life of a job once it is admitted: whose turn it is, what is aboard, how it ends."""
