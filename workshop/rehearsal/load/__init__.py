"""Many people at once, for a while or for hours: how soon they are answered, and whether anything grows."""
