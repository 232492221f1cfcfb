"""Clips on disk: reading BEAT2, per-clip Parquet tables, the packed training set and its windows."""
