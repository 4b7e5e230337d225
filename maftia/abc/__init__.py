"""Atomic broadcast and binary agreement, as pure state machines."""
