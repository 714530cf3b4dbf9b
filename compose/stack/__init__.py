"""The real servers on one machine, without containers: obtained, started, watched and ended."""
