"""The log of what was agreed: a Merkle tree over commits and records that anyone can check.

Source: services.md, "Log"; RFC 6962 and RFC 9162 (tree and proofs); C2SP tlog-tiles,
tlog-checkpoint, signed-note, tlog-proof (bytes on disk and on paper).

    entries      what a leaf says: commit headers, records with their outcome
    merkle       hashes, and the frontier: all of a tree that appending needs
    tiles        where hashes and entries lie in files: names and sizes, nothing else
    book         one server's log: files, and what is newer than they are
    write        what of it is to be stored next
    edge         the right edge of the tree as tiles: entries in, files out
    reader       hashes and entries back out of files
    proofs       inclusion and consistency: made of tiles, verified by anyone
    note         text with signatures
    checkpoint   size and root of the log, signed by servers; t+1 certify
    heads        checkpoints of many servers collected until t+1 agree
    proof_file   one entry's proof as a file that stands alone
    audit        a whole log re-computed

All of it is pure: files are names and bytes, keys and reading are passed in.  How a
server, a client and the command line use it: docs/adr/0020-log.md.
"""
