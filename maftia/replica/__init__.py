"""One server's protocols, and the driver that executes their steps."""
