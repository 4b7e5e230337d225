"""MAFTIA: a certification authority and fair-exchange notary that no single machine can subvert."""

__version__ = "0.1.0"
