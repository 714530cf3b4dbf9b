"""How fast, how sparingly and how surely alerts are told."""
