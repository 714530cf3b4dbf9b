"""Each worker as a process of its own, made from its own TOML file."""
