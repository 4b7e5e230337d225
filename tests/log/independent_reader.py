"""A reader of the log that shares no code with what writes it.

    python tests/log/independent_reader.py LOGDIR CLUSTER.toml [CERTIFICATE.pem ...]

Re-computes a log from the entries in its files, by the text of RFC 6962, C2SP tlog-tiles,
tlog-checkpoint and signed-note, and compares every file of hashes, the checkpoint's root
and the servers' signatures; certificates that are given must be those that the log tells
of.  It knows the leaves as MessagePack and no more of MAFTIA than services.md says.
Needs Python's standard library and `cryptography`.

Exit codes: 0 the log is what t+1 servers signed; 1 it is not; 2 wrong use.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import tomllib
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class BadLog(Exception):
    """The log is not what it must be."""


def require(condition, text):
    if not condition:
        raise BadLog(text)


# --- the checkpoint


def read_checkpoint(note, cluster):
    """Size, root and the ids of the servers that signed, of the bytes of a checkpoint."""
    text, _, signatures = note.decode("utf-8").rpartition("\n\n")
    text += "\n"
    require(signatures.endswith("\n"), "the last line of the checkpoint is cut off")
    origin, size, root, *_extensions = text.splitlines()
    expected = f"maftia/checkpoint/v1/{cluster['cluster']}/{cluster['epoch']}"
    require(origin == expected, f"checkpoint of {origin}, not of {expected}")
    require(size.isdecimal() and str(int(size)) == size, "checkpoint without a size")
    signers = set()
    for line in signatures.splitlines():
        dash, name, encoded = line.split(" ")
        require(dash == "—", "a line under the checkpoint is no signature")
        if name == origin:
            signers |= signers_of(text.encode(), base64.b64decode(encoded, validate=True), name, cluster["server"])
    return int(size), base64.b64decode(root, validate=True), signers


def signers_of(message, content, name, servers):
    """The servers whose signature this is; a false signature under a server's key id is an error."""
    key_id, signature = content[:4], content[4:]
    known, signers = False, set()
    for server in servers:
        public = bytes.fromhex(server["verify_key"])
        if hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4] != key_id:
            continue
        known = True
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
            signers.add(server["id"])
        except InvalidSignature:
            pass
    require(signers or not known, "a server's signature under the checkpoint is false")
    return signers


# --- the tree


def tile_name(kind, number, width):
    groups = []
    while True:
        number, rest = divmod(number, 1000)
        groups.insert(0, f"{rest:03d}")
        if number == 0:
            break
    path = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"tile/{kind}/{path}" + ("" if width == 256 else f".p/{width}")


def read_tile(folder, kind, number, width):
    """A tile or bundle, and how many items its file holds: the full file will do for a partial one."""
    for stored in (width, 256):
        path = folder / tile_name(kind, number, stored)
        if path.is_file():
            return path.read_bytes(), stored
    raise BadLog(f"{tile_name(kind, number, width)} is missing")


def split_bundle(bundle):
    entries = []
    while bundle:
        size = int.from_bytes(bundle[:2], "big")
        require(len(bundle) >= 2 + size, "a bundle is cut off")
        entries.append(bundle[2 : 2 + size])
        bundle = bundle[2 + size :]
    return entries


def read_entries(folder, size):
    entries = []
    for number in range((size + 255) // 256):
        width = min(256, size - 256 * number)
        bundle, stored = read_tile(folder, "entries", number, width)
        found = split_bundle(bundle)
        require(len(found) == stored, f"bundle {number} holds {len(found)} entries, not {stored}")
        entries += found[:width]
    return entries


def tree_root(hashes):
    """MTH of RFC 6962, section 2.1, over the hashes of the leaves."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while 2 * half < len(hashes):
        half *= 2
    return hashlib.sha256(b"\x01" + tree_root(hashes[:half]) + tree_root(hashes[half:])).digest()


def check_tiles(folder, leaf_hashes):
    """Every tile of every level is what follows from the leaves; the number of tiles."""
    level, row, count = 0, leaf_hashes, 0
    while row:
        for number in range((len(row) + 255) // 256):
            part = row[256 * number : 256 * number + 256]
            tile, stored = read_tile(folder, level, number, len(part))
            require(len(tile) == 32 * stored, f"tile {number} of level {level} has a wrong size")
            require(tile[: 32 * len(part)] == b"".join(part), f"tile {number} of level {level} is false")
            count += 1
        row = [tree_root(row[i : i + 256]) for i in range(0, len(row) - 255, 256)]
        level += 1
    return count


# --- the leaves


def unpack(data):
    """The one value that is encoded here; MessagePack, as far as leaves use it."""
    value, rest = unpack_one(data)
    require(not rest, "bytes after the end of a leaf")
    return value


def unpack_one(data):
    kind, rest = data[0], data[1:]
    if kind <= 0x7F:
        return kind, rest
    if 0x90 <= kind <= 0x9F:
        return unpack_array(kind & 0x0F, rest)
    if 0xA0 <= kind <= 0xBF:
        return rest[: kind & 0x1F].decode(), rest[kind & 0x1F :]
    widths = {
        0xC4: 1,
        0xC5: 2,
        0xC6: 4,
        0xD9: 1,
        0xDA: 2,
        0xDB: 4,
        0xDC: 2,
        0xDD: 4,
        0xCC: 1,
        0xCD: 2,
        0xCE: 4,
        0xCF: 8,
    }
    require(kind in widths, f"a leaf holds a value of kind {kind:#x}")
    number, rest = int.from_bytes(rest[: widths[kind]], "big"), rest[widths[kind] :]
    if kind in (0xCC, 0xCD, 0xCE, 0xCF):
        return number, rest
    if kind in (0xDC, 0xDD):
        return unpack_array(number, rest)
    require(len(rest) >= number, "a leaf is cut off")
    content, rest = rest[:number], rest[number:]
    return (content.decode() if kind in (0xD9, 0xDA, 0xDB) else content), rest


def unpack_array(count, data):
    items = []
    for _ in range(count):
        item, data = unpack_one(data)
        items.append(item)
    return items, data


def check_leaves(entries):
    """Commits in order, each with records; what the log holds, counted."""
    counts = {"commits": 0, "records": 0, "certificates": {}, "removed": 0}
    index, time_ms, before = 0, 0, None
    for entry in entries:
        leaf = unpack(entry)
        tag = leaf[0]
        if tag == "commit":
            require(before != "commit", f"commit {index} has no records")
            require(leaf[1] > index and leaf[2] >= time_ms and len(leaf[3]) == 32, f"commit {leaf[1]} is out of order")
            index, time_ms = leaf[1], leaf[2]
            counts["commits"] += 1
        elif tag == "applied":
            require(before is not None, "a log begins with a commit")
            _, kind, record, code, serial, digest, removed = leaf
            require(len(serial) in (0, 16) and len(digest) == 2 * len(serial), "a certificate without serial or digest")
            check_record(kind, record)
            require(not code or not (serial or removed), "a refused record changed a certificate")
            counts["records"] += 1
            if serial:
                require(serial not in counts["certificates"], "a serial was given twice")
                require(serial[0] >> 6 == 1, "a serial does not begin with the bits 01")
                counts["certificates"][serial] = digest
            counts["removed"] += len(removed)
        else:
            require(tag == "removed" and before in ("applied", "removed"), f"a leaf {tag!r} out of place")
            counts["removed"] += len(leaf[1])
        before = tag
    require(before != "commit", "the log ends with a commit that has no records")
    return counts


def check_record(kind, record):
    """A record is its body under its client's signature; the body is a request with evidence."""
    body, signature = unpack(record)
    require(len(signature) == 64, "a record without its client's signature")
    tag, request, attestations, *_rest = unpack(body)
    require(tag == "record", "a record without a body")
    for server, _gatherer, _saw, _time_ms, _signature in attestations:
        require(server >= 0, "an attestation of no server")
    fields = unpack(request)
    require(fields[0] == "request", "a record without a request")
    require((fields[4] == "admin") == (kind == "admin"), "a record of another kind than its leaf says")


def check_certificate(pem, certificates):
    """The log tells of this certificate, by its serial and the hash of its TBSCertificate."""
    certificate = x509.load_pem_x509_certificate(pem)
    serial = certificate.serial_number.to_bytes(16, "big")
    require(serial in certificates, f"certificate {serial.hex()} is not in the log")
    digest = hashlib.sha256(certificate.tbs_certificate_bytes).digest()
    require(certificates[serial] == digest, f"the log tells of another certificate with serial {serial.hex()}")


def check(folder, cluster, pems=()):
    """Check a whole log; what it holds."""
    size, root, signers = read_checkpoint((folder / "checkpoint").read_bytes(), cluster)
    require(len(signers) > cluster["t"], f"{len(signers)} servers signed where {cluster['t'] + 1} must")
    entries = read_entries(folder, size)
    leaf_hashes = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    require(tree_root(leaf_hashes) == root, "the entries are not those of the checkpoint")
    tiles = check_tiles(folder, leaf_hashes)
    counts = check_leaves(entries)
    for pem in pems:
        check_certificate(pem, counts["certificates"])
    counts["certificates"] = len(counts["certificates"])
    return {"size": size, "root": root.hex(), "signers": sorted(signers), "tiles": tiles, **counts}


def main(arguments):
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder, cluster_file, *certificates = map(Path, arguments)
    try:
        cluster = tomllib.loads(cluster_file.read_text())
    except (OSError, ValueError) as error:
        print(f"{cluster_file}: {error}", file=sys.stderr)
        return 2
    try:
        found = check(folder, cluster, [file.read_bytes() for file in certificates])
    except (BadLog, OSError, ValueError, IndexError, TypeError) as error:
        print(f"{folder}: not a log that the servers signed: {error}")
        return 1
    for name, value in found.items():
        print(f"{name} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
