"""What earlier versions wrote: databases, rows and the ids of buttons, kept for ever and never made anew."""
