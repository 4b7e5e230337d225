"""Every bound that a stranger could push against, with its reason."""

from __future__ import annotations

# --- frames and connections (net)
FRAME_SIZE_BYTES_MAX = 4 * 1024 * 1024
"""a peer's largest message is a block of BLOCK_PAYLOAD_BYTES_MAX with its references"""
CLIENT_FRAME_SIZE_BYTES_MAX = 64 * 1024
"""the largest record, with room for its envelope"""
CLIENT_CONNECTIONS_MAX = 2048
"""a connection costs some 60 kB with TLS: this bounds strangers to about 128 MB"""
CLIENT_FRAME_TIMEOUT_S = 20.0
"""a frame begun is finished within this, or the connection ends: slow senders hold nothing up"""
CLIENT_IDLE_TIMEOUT_S = 600.0
"""an idle client connection is closed; the client library reconnects"""
HANDSHAKE_TIMEOUT_S = 10.0
CLIENT_OUTBOX_BYTES_MAX = 1024 * 1024
"""a client that does not read its answers is cut off"""
PEER_OUTBOX_BYTES_MAX = 64 * 1024 * 1024
"""what waits for a slow peer; beyond it the link is reset and resumes by what the peer holds"""
WATCHES_PER_SESSION_MAX = 256
"""outstanding requests of one connection"""

# --- records and blocks (abc)
RECORD_SIZE_BYTES_MAX = 32 * 1024
"""a request with a hundred names, an RSA-4096 key and n attestations fits"""
BLOCK_RECORDS_MAX = 512
BLOCK_PAYLOAD_BYTES_MAX = 1024 * 1024
PENDING_RECORDS_MAX = 8192
"""records waiting for the order at one server; beyond it new ones are `overloaded`"""
ROUND_MAX = 2**63 - 1
REFERENCE_WINDOW_ROUNDS = 16
"""W (protocols.md 3)"""
KEPT_ROUNDS = 64
"""G >= 2W"""
WAVE_LENGTH = 5
LEADER_SLOTS = 2
CHECKPOINT_INTERVAL_COMMITS = 64
"""C"""
FETCHES_PER_PEER_MAX = 64
PENDING_BLOCKS_PER_PEER_MAX = 1024
"""blocks that wait for ancestors, per sender"""

# --- agreement
AGREEMENT_ROUNDS_AHEAD_MAX = 64

# --- requests (dca)
NAMES_MAX = 100
NAME_LENGTH_MAX = 253
KEY_SIZE_BYTES_MAX = 1200
"""an RSA-8192 SubjectPublicKeyInfo has 1,062 bytes; larger ones only cost time"""
RID_WINDOW_MS = 24 * 3600 * 1000
"""a request is judged within a day of its rid's time; its history entry is kept two"""
ATTESTATION_WINDOW_MS = 10 * 60 * 1000
"""how far an attestation may lie from agreed time"""
NONCE_LIFETIME_MS = 10 * 60 * 1000
"""a challenge nonce is recognised this long"""
