"""What the shell's commands end with: numbers alone, so that whoever needs one loads nothing else."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ALREADY_RUNNING = 75
"""sysexits.h: a passing failure; starting again later may succeed."""
EXIT_CONFIG = 78
"""sysexits.h: a configuration error; supervisors should not start us again."""
EXIT_INTERRUPTED = 130
