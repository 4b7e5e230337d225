"""Vocabulary without I/O: identifiers, quorums, hashing, encoding, file formats, certificates."""
