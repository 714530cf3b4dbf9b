"""Blocks of many samples a series in few bytes: what a merged block holds."""

from edge_aggregator.journal.dense.columns import decode_dense, encode_dense

__all__ = ["decode_dense", "encode_dense"]
