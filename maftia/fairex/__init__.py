"""The fair-exchange party: comes on the same foundation."""
