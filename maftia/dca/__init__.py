"""The certification authority, as a fold over ordered records."""
