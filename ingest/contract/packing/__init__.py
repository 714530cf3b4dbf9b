"""Columns of numbers as few bytes: bits, Golomb-Rice codes, runs, decimals and the statistics of windows."""
