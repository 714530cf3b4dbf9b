"""The fleet in a terminal: what `tidegate top` and `tidegate status` show, from the API alone."""
