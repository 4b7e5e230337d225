"""Every bound that a stranger could push against, with its reason."""

from __future__ import annotations

# For frames and connections, in net.
FRAME_SIZE_BYTES_MAX = 4 * 1024 * 1024
"""a peer's largest message is a block of BLOCK_PAYLOAD_BYTES_MAX with its references"""
CLIENT_FRAME_SIZE_BYTES_MAX = 64 * 1024
"""the largest record, with room for its envelope"""
CLIENT_CONNECTIONS_MAX = 2048
"""each costs 60 kB with TLS, at worst a frame that arrives, one that waits and 130 kB of watches: 650 MB in all"""
CLIENT_CONNECTIONS_OF_SOURCE_MAX = CLIENT_CONNECTIONS_MAX // 4
"""of one address: clients take turns by connection, so that it has no more of the turns than with so many"""
CLIENT_FRAME_TIMEOUT_S = 20.0
"""a frame begun is finished within this, or the connection ends: slow senders hold nothing up"""
CLIENT_IDLE_TIMEOUT_S = 600.0
"""an idle client connection is closed; the client library reconnects"""
HANDSHAKE_TIMEOUT_S = 10.0
"""an honest one takes three round trips"""
HANDSHAKES_MAX = 128
"""at a time; each costs some 2 ms of processor, so this bounds for how long a burst of them delays a turn"""
CLIENT_OUTBOX_BYTES_MAX = 16 * 1024 * 1024
"""the outcomes of all requests that one connection may have under way, settled at once: 9 MB of the largest records"""
CLIENT_PAUSE_BYTES = 512 * 1024
"""while more than this waits for a client, no more of its frames are read"""
CLIENT_WRITE_TIMEOUT_S = 60.0
"""a client that takes nothing of its answers for so long is cut off"""
CLIENT_STUCK_S = 1.0
"""where there is too much for all clients together, those who have taken nothing for this long go first"""
CLIENTS_OUTBOX_BYTES_MAX = 64 * 1024 * 1024
"""answers that wait for all clients together; beyond it one is cut off: the most first, of those who do not read"""
PEER_OUTBOX_BYTES_MAX = 64 * 1024 * 1024
"""what waits for a slow peer; beyond it the link is reset and resumes by what the peer holds"""
PEER_INBOX_BYTES_MAX = 8 * 1024 * 1024
"""frames of one peer that wait for their turn: the largest and what follows it; beyond it we stop reading"""
PEER_FRAME_TIMEOUT_S = 60.0
"""a peer's largest frame takes this long at 70 kB/s; a slower link resumes by what was received"""
TURN_BYTES_MAX = 8 * 1024 * 1024
"""of messages, replies and records that a turn gathers before they go: two answers to fetches; most turns have less"""
WATCHES_PER_SESSION_MAX = 256
"""outstanding requests of one connection; each costs half a kB, for its ids have fixed sizes"""

# For records and blocks, in abc.
RECORD_SIZE_BYTES_MAX = 32 * 1024
"""a request with a hundred names, an RSA-4096 key and n attestations fits"""
BLOCK_RECORDS_MAX = 512
BLOCK_PAYLOAD_BYTES_MAX = 1024 * 1024
PENDING_RECORDS_MAX = 8192
"""records waiting for the order at one server, of its own clients, and as many adopted; sixteen full blocks each"""
PENDING_RECORDS_BYTES_MAX = 32 * 1024 * 1024
"""the same in bytes, for each of the two: records of common size (1 to 3 kB) reach the number first"""
ROUND_MAX = 2**63 - 1
REFERENCE_WINDOW_ROUNDS = 16
"""W (protocols.md 3)"""
KEPT_ROUNDS = 64
"""G >= 2W"""
WAVE_LENGTH = 5
LEADER_SLOTS = 2
CHECKPOINT_INTERVAL_COMMITS = 64
"""C"""
MARGIN_ROUNDS = 256
"""blocks kept below S for servers that lag: with G and C some 350 rounds, half a minute of common load, so that a
restart is no reason to install a snapshot"""
REJOIN_NONCE_SIZE_BYTES = 16
"""of a server that lost its journal: no two of its lives draw the same"""
FETCHES_PER_PEER_MAX = 64
PENDING_BLOCKS_PER_PEER_MAX = 1024
"""blocks that wait for ancestors, per sender"""
PENDING_BYTES_PER_PEER_MAX = 32 * 1024 * 1024
"""the same in bytes: with it t corrupt senders hold at most t times this of memory"""
BLOCK_SIZE_BYTES_MAX = BLOCK_PAYLOAD_BYTES_MAX + 64 * 1024
"""payload, references to some hundred servers, and the framing of BLOCK_RECORDS_MAX records"""
BLOCKS_PER_MESSAGE_MAX = 64
BLOCK_MESSAGE_BYTES_MAX = 1024 * 1024
"""a message of blocks is closed once it holds this much, so it stays well below a frame"""
FETCH_REFERENCES_MAX = 64
"""references in one fetch: the most that one peer is asked for at a time"""
FETCH_ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""what one fetch can make a server send; the asker asks again for the rest"""
STREAM_BLOCKS_MAX = REFERENCE_WINDOW_ROUNDS
"""own blocks sent at once to one who lags; it asks for more when it has placed them"""

# For agreement.
AGREEMENT_ROUNDS_AHEAD_MAX = 64
"""votes of later rounds are dropped; who lags that far behind is brought home by DECIDE"""
AGREEMENT_PROOF_SIZE_BYTES_MAX = 64 * 1024
"""a resolve request with both promises and their certificates fits"""

# For requests, in dca.
NAMES_MAX = 100
NAME_LENGTH_MAX = 253
KEY_SIZE_BYTES_MAX = 1200
"""an RSA-8192 SubjectPublicKeyInfo has 1,062 bytes; larger ones only cost time"""
RID_WINDOW_MS = 24 * 3600 * 1000
"""a request is judged within a day of its rid's time; its history entry is kept two"""
ATTESTATION_WINDOW_MS = 10 * 60 * 1000
"""how far an attestation may lie from agreed time"""
SIGNATURE_SIZE_BYTES_MAX = 1024
"""what a subject's key signs: RSA-8192 makes the longest"""
GATHERER_LENGTH_MAX = 32
"""name of what an attestation rests on"""
NONCE_LIFETIME_MS = 10 * 60 * 1000
"""a challenge nonce is recognised this long"""

# For the dealer.
SERVERS_MAX = 64
"""messages grow with n² and the factor n! of Shoup's exponents with n log n: beyond this nothing was measured"""
EPOCH_MAX = 2**31
CLUSTER_FILE_SIZE_BYTES_MAX = 1024 * 1024
"""64 servers with RSA-8192 keys need half of it"""
ORGANIZATION_LENGTH_MAX = 64
"""ub-organization-name of RFC 5280"""
TIME_MS_MAX = 253_402_300_799_999
"""the last millisecond of the year 9999, beyond which certificates cannot name a time"""
INIT_FILE_SIZE_BYTES_MAX = 2 * 1024 * 1024
"""a cluster file, a policy and some kilobytes of secrets"""
PASSPHRASE_SIZE_BYTES_MAX = 1024
"""whoever gives more has given the wrong file"""
SCRYPT_MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""what a damaged or hostile init file may ask for before its passphrase is known to be right"""

# For names, keys, certificates, policy, in core.
LABEL_LENGTH_MAX = 63
"""of a DNS name (RFC 1035)"""
EMAIL_LOCAL_LENGTH_MAX = 64
"""the part before the @ (RFC 5321)"""
ATTRIBUTE_LENGTH_MAX = 64
"""one value of a distinguished name: the shortest of RFC 5280's upper bounds (ub-common-name)"""
RDNS_MAX = 16
"""parts of a distinguished name"""
RSA_MODULUS_BITS_MIN = 2048
RSA_MODULUS_BITS_MAX = 8192
"""larger keys cost every verifier time and gain nothing"""
RSA_EXPONENT_MIN = 65537
"""small exponents forgive no mistake in padding"""
RSA_EXPONENT_BITS_MAX = 32
"""65537 nearly everywhere; twice as long ones double what a verification costs, and OpenSSL has its bound at 64"""
RSA_SMALL_FACTOR_BITS = 16
"""a modulus with a prime factor below 2^16 is refused: one gcd of 50 µs; key generators try this many anyway"""
RSA_FERMAT_STEPS = 256
"""of Fermat's method, 70 µs for 2048 bits; auditors of public authorities ask for 100"""
CSR_SIZE_BYTES_MAX = 24 * 1024
"""a hundred names of common length and an RSA-8192 key fit, and a record has room for it"""
CSR_ATTRIBUTES_MAX = 16
"""of a certification request; there are some ten in use"""
CSR_EXTENSIONS_MAX = 32
"""that a certification request asks for"""
CSR_ATTRIBUTE_LENGTH_MAX = 255
"""one value of a request's subject: ub-emailaddress-length, the largest bound of RFC 5280 in use"""
CERTIFICATE_SIZE_BYTES_MAX = 40 * 1024
"""a hundred names of full length and an RSA-8192 key fit"""
POLICY_SIZE_BYTES_MAX = 256 * 1024
"""an administrator's file: a thousand tokens fit"""
POLICY_ENTRIES_MAX = 1024
"""globs of one list, tokens, authorities, administrators"""

# For signing, checkpoints and sessions, in replica.
SIGNING_HOLD_BACK_MS = 300
"""a server that is not designated waits this long for a signature before it sends its share"""
SIGNING_NEED_PAUSE_MS_MAX = 60_000
"""the pause between two requests for a missing signature doubles up to this"""
SIGNING_EARLY_PER_PEER_MAX = 2048
"""signing messages for what is not applied here yet: some commits' worth; 1 MB a peer as honest ones fill it (a share
of 256 bytes, no proof), 7 MB with the longest shares and proofs"""
SHARE_SIZE_BYTES_MAX = 1024
"""a share or signature under an 8192-bit modulus"""
PROOF_SIZE_BYTES_MAX = 2048
"""challenge and response of a proof under the same"""
REFERENCE_SIZE_BYTES_MAX = 64
"""a serial or a transaction id"""
CHECKPOINT_VOTES_PER_PEER_MAX = 8
"""votes of one peer for commits that this server has not reached"""
RECENT_OUTCOMES_MAX = 1024
"""answers kept for a watch that comes after the effect; retrieves have no other memory"""

FAULT_LOG_INTERVAL_S = 60.0
"""a party's faults of one kind make a line at once, and then one in this time with their number"""

SOURCES_MAX = 16384
"""addresses whose requests of a window are counted one by one, 3 MB; beyond it counts are shared from the least up"""

# For threshold keys.
SUBSET_SEARCH_SERVERS_MAX = 10
"""imported keys: at most 210 subsets of t+1 are tried, some 0.1 s"""

# For evidence and answers, in dca.
PROOFS_PER_RECORD_MAX = 4
"""keys that sign a request as evidence: the new one, the old one, and room"""
TOKENS_PER_RECORD_MAX = 4
"""tokens offered with a request: each costs a signature check"""
AUTHORIZATIONS_PER_RECORD_MAX = 4
"""words of authorities, and certificates, offered as credentials: each costs a signature check"""
GATHERERS_PER_PROFILE_MAX = 4
"""kinds of evidence for names that one profile asks for; a record has n attestations of each, and of the key's"""
ADMINISTRATORS_MAX = 32
"""of a policy; their signatures come with a change, a majority of them"""
TOKENS_MAX = POLICY_ENTRIES_MAX
"""in force at a time: those of a text, and those added one by one"""
TOKENS_SIZE_BYTES_MAX = 512 * 1024
"""of all tokens as rows: twice what the largest text makes; with that text they still fit one answer"""
RATE_ROWS_DROPPED_PER_COMMIT = 256
"""counters of past windows that a commit drops, 5 ms, beside two for each new one: so they never pile up"""
FOREIGN_EXAMINED_MAX = 64
"""certificates of other clients that a revocation or update without a right makes every server read"""
REVOKE_EXAMINED_MAX = 256
"""entries that do not match and that a revocation or update reads in each index: 2 ms; beyond, it is done by serial"""
HOLDERS_EXAMINED_MAX = 1024
"""certificates of others for one's names or key that an issue or update reads, 8 ms: within the limits of attempts"""
REMOVED_PER_RECORD_MAX = 2048
"""rows that one record removes, a certificate and each of its names one: some 0.15 s, and a thousand certificates of
one name; a holder of more revokes in portions, and the key is banned with the first"""
RETRIEVE_EXAMINED_MAX = 256
"""entries that do not match and that a retrieve reads: 2 ms; those that match are bounded by the policy"""
HISTORY_DROPPED_PER_COMMIT = 256
"""old entries of the history that a commit drops, 10 ms, beside two for each new one: so they never pile up"""
EXPIRY_ROWS_PER_COMMIT = 512
"""certificates, and their names, whose end a commit enters, 30 ms, beside two for each new one: others wait marked
valid, and are judged by agreed time"""
QUERY_WORK_PER_S = 20_000
"""certificates (of 6 µs) that a server reads a second for retrieves out of order: a tenth of a core, whoever asks"""
QUERY_WORK_BURST = 20_000
"""of those, at once"""
QUERY_WORK = 20
"""what a retrieve out of order costs beside them: reading the request, its key and names"""
SOURCE_SHARE = 4
"""one address has a fourth of what is allowed to all together, in each second"""
READ_WORK_PER_S = 20_000
"""units of 6 µs that a server spends a second on reading policy and log to clients: a tenth of a core, whoever asks"""
READ_WORK_BURST = 20_000
"""of those, at once"""
READ_BYTES_PER_WORK = 8192
"""an answer is encoded and encrypted, a file read and parsed, at 1.5 GB/s: 6 µs for as many bytes"""
POLICY_WORK = 20
"""to read the policy in force, beside its bytes and its tokens"""
STATUS_WORK = 12
"""to tell how this server is, the digest of its state with it: 70 µs"""
LOG_HEAD_WORK = 10
"""to read the question and to sign the newest log checkpoint: 50 µs"""
LOG_PART_WORK = 10
"""a part of a file of the log that is in memory: 60 µs, beside its bytes"""
LOG_FILE_WORK = 100
"""a part of one that is not, 0.6 ms, beside the bytes of the whole of it"""
LOG_PROOF_WORK = 200
"""a proof, or an old head, from tiles that are not in memory: 1.2 ms in a log of 100,000 entries, beside the bytes of
what was read, most of them a bundle's"""
ASKS_PER_S = 300
"""challenges for encryption keys that a server seals a second: 0.3 ms each, a tenth of a core, whoever asks"""
ASKS_BURST = 600
"""of those, at once"""
TOLL_WORK_PER_S = 1000
"""units of 0.1 ms a second that strangers may cause all servers beyond ordinary evidence: a tenth of a core"""
TOLL_WORK_BURST = 2000
"""of those, at once"""
ORDINARY_WORK = 12
"""of those, free in each record: a proof and a credential by keys of any kind up to RSA-4096"""
SEARCH_WORK = 2
"""what is charged for looking through the certificates of a key or name: 0.2 ms; few have so many that it is 2 ms"""
QUERY_PAUSE_MS = 50
QUERY_PAUSE_MS_MAX = 1000
"""a client whose answers differ asks again after a pause that doubles: honest servers are a moment apart"""
ANSWER_SERIALS_MAX = 1024
"""that one answer lists: what one record removes (REMOVED_PER_RECORD_MAX), or a retrieve finds"""
ANSWER_SIZE_BYTES_MAX = 32 * 1024
"""an answer with all of these, 18 bytes each, and its detail"""
CERTIFICATE_ENVELOPE_BYTES_MAX = SIGNATURE_SIZE_BYTES_MAX + 64
"""what a certificate, and its place in an outcome, add to the bytes that are signed"""
OUTCOME_CERTIFICATES_BYTES_MAX = 2 * 1024 * 1024
"""that one answer brings: a thousand of common size, and half of a frame"""

STATE_READS_KEPT_MAX = 8192
"""values that are kept while a commit is applied: most is read twice, some hundred bytes each"""

# For evidence that servers gather for names, in dca and replica.
GATHERINGS_MAX = 64
"""under way at a time at one server, each with a thread that may wait for the network"""
GATHERINGS_OF_SESSION_MAX = 8
"""of one connection; of one address there are a fourth of all (SOURCE_SHARE)"""
GATHERINGS_PER_S = 20
"""begun a second, whoever asks: each makes this server knock at up to NAMES_MAX places that a stranger chose"""
GATHERINGS_BURST = 40
"""of those, at once"""
GATHERING_TIMEOUT_MS = 60_000
"""after this a server gives up; below ATTESTATION_AGREEMENT_MS, so that the slowest attests near the fastest"""
GATHERED_SIZE_BYTES_MAX = 64 * 1024
"""what one job may find: an answer of DNS over TCP, or the head of a page"""
NAMES_PAUSE_MS = 3000
"""a client waits so long for what servers find on the network, before it asks those beyond the needed ones"""

# For the client.
ATTESTATION_AGREEMENT_MS = 2 * 60 * 1000
"""attestations this near to each other are all near agreed time if one honest server's is among them"""
GATHER_PAUSE_MS = 300
"""a server that has not attested by then is not waited for alone"""
CONTACT_PAUSE_MS = 1000
"""after this silence the record goes to one more server"""

# For the log.
LOG_ENTRY_SIZE_BYTES_MAX = 65535
"""a bundle of entries gives each a length of 16 bits (C2SP tlog-tiles); a record and its outcome fit twice"""
LOG_PART_SIZE_BYTES_MAX = 256 * 1024
"""of a file in one answer: half of what may wait for a client that is read from"""
LOG_SIZE_MAX = 2**63 - 1
"""entries; the tiles' levels end at 63"""
LOG_REMOVED_MAX = 1024
"""serials in one leaf, some 18 kB: with the largest record it stays an entry, further ones get leaves of their own"""
LOG_PROOF_HASHES_MAX = 64
"""a path through a tree of LOG_SIZE_MAX entries; a consistency proof has one hash more than the path at most"""
NOTE_SIZE_BYTES_MAX = 64 * 1024
"""a checkpoint with the signatures of SERVERS_MAX servers needs a third of it"""
NOTE_SIGNATURES_MAX = 128
"""SERVERS_MAX servers and as many witnesses; the format's floor is 16"""
CHECKPOINT_EXTENSIONS_MAX = 8
"""extension lines of a log checkpoint; one is in use"""
CHECKPOINT_EXTENSION_LENGTH_MAX = 256
"""characters of one of them"""
LOG_HEADS_PER_SERVER_MAX = 8
"""checkpoints of one server that a client keeps until t+1 agree: two would do with servers in step"""
LOG_REST_MS = 3000
"""a log that has not grown for this long is published: a busy one at a state checkpoint, every LOG_PUBLISH_MS"""
LOG_PUBLISH_MS = 10_000
"""between two publications while the log grows: each rewrites its partial files, some ten, and syncs them"""
LOG_SIGNATURES_KEPT_MAX = 256
"""own signatures over checkpoints, 32 µs each: those of the commits whose answers wait for certificates"""
LOG_PROOF_FILE_SIZE_BYTES_MAX = 256 * 1024
"""an entry in Base64 (88 kB), its path (3 kB) and a checkpoint"""

# For the client's files and waits.
AUTHORIZATION_SIZE_BYTES_MAX = 32 * 1024
"""an authority's word for NAMES_MAX names and the largest key; what is larger fits no record"""
INCLUSION_PAUSE_MS = 300
"""a certificate that is believed waits this long for the proof that the log holds it"""
LOG_ENTRIES_PER_SERIAL_MAX = 2
"""that one server shows of a certificate: it comes once and goes once"""
LOG_PATIENCE_MS = 1000
LOG_PATIENCE_MS_MAX = 16_000
"""a server that has not sent the next part of a file by then is left for another; doubled after each round of all"""
LOG_ROUND_PAUSE_MS = 200
"""between these rounds: servers that refuse at once are not asked without end"""
