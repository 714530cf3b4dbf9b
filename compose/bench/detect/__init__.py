"""How well detection detects: labelled sets, scores as their fields define them, and what users would pick instead."""
