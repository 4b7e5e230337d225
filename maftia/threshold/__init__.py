"""Threshold cryptography: one file per scheme."""
