"""Disk: journal, key-value store, data directory."""
