"""Rules that people write: what they may say, and their judgement over many series at once."""
