"""Sockets: framing, TLS channels, links."""
