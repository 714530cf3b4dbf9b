"""Detection tried on somebody's own files."""
