"""What `tidegate doctor` looks at."""
