"""The replicated certification authority: what a server does with requests.

Source: MAFTIA deliverable D5, section 3; services.md.   Bound: n > 3t.
Guarantees: honest servers that applied the same commits hold equal states and give
equal answers (safety is that of the order alone); a request takes effect at most once
per (client id, rid); nobody's unfinished request delays another's; a certificate's
every byte follows from the order.
Messages: none of its own.  Before the order it answers clients (`advise`, `ask`, `attest`,
`check_record`, `query`, `policy_found`); after it, `apply_commit` is the fold; the caller carries both.
Why it works: the fold reads state, records, agreed time and coin, which the order makes
equal everywhere.  Evidence was gathered before, under signatures of servers, so that
judging it is counting.  k >= t+1 attestations hold an honest server's, and an honest
server attests only what it saw.
Deviations from D5: evidence before order (D5 challenges after it, so that a silent
stranger holds up a key or a name), no "in transition" marks, typed refusals instead of
silence, exactly-once by (client id, rid) with a bounded history.
Caller must: give commits in order, each once; verify a signature before `complete`;
make the store durable before an answer or a share leaves.
Limits and cost: a record costs its client's signature, one per piece of evidence that is
given (`dca.examiner` bounds them), and some ten entries of state.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from maftia.abc.commit import Commit
from maftia.core.cluster_file import MODES
from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import Code, FormatError, InvariantError, Refusal
from maftia.core.identifiers import Domain
from maftia.core.limits import QUERY_WORK
from maftia.core.names import normalise_names
from maftia.core.policy import Limits, TokenGrant, parse_policy
from maftia.core.quorum import Quorums
from maftia.core.signing import Authenticator, verify_ed25519
from maftia.core.spki import UnsupportedKeyError, parse_spki
from maftia.core.x509 import assemble, issuer_of
from maftia.dca.certificate import Certifier, Place
from maftia.dca.confirmation import NOT_OURS, Confirmation
from maftia.dca.credentials import Credentials
from maftia.dca.effects import Effects
from maftia.dca.evidence import Subject
from maftia.dca.examiner import Examiner, Grounds
from maftia.dca.finding import find
from maftia.dca.fold import Effect, Fold, ParsedRecord, parse_record
from maftia.dca.form import Case, read_case, read_request, rid_of_request, subject_of
from maftia.dca.gatherers import Gatherers, Gathering
from maftia.dca.history import History, HistoryEntry
from maftia.dca.judge import BANNED, profile_for
from maftia.dca.ledger import Ledger, begin_log, no_files
from maftia.dca.messages import Ask, Attested, Challenge, Confirm, Gather, Listed, PolicyReply, Refused, TokenInForce
from maftia.dca.policy_in_force import PolicyInForce, deal_policy
from maftia.dca.rates import Rates
from maftia.dca.recent import RecentAnswers
from maftia.dca.registry import SIGNATURE, UNSIGNED, Registry
from maftia.dca.requests import ISSUE, RETRIEVE, REVOKE, UPDATE, Request, request_string
from maftia.dca.rid import is_stale
from maftia.dca.state import KeyValue, State
from maftia.log.reader import Read

RULES_VERSION = 2
"""of everything that judges; a change comes into force by an ordered record, never by an upgrade alone"""

NO_SUCH_EVIDENCE = Refusal(Code.MALFORMED, "the policy asks for no such evidence")

_PROGRESS = b"meta/progress"
_RULES = b"meta/rules"


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """What the dealer gave to a server of the authority."""

    domain: Domain
    quorums: Quorums
    mode: str
    """key-major or name-major"""
    authenticator: Authenticator
    ca_certificate: bytes
    """DER"""
    policy: str
    """the text of policy.toml as dealt"""
    dealt_at_ms: int
    """UTC; the first agreed time"""
    nonce_secret: bytes = field(repr=False)
    """32 bytes of this server alone: keys the MAC of its challenges"""
    gatherers: Gatherers = field(default_factory=Gatherers)
    """of evidence for names; all servers of a deployment have the same"""


class Progress(Wire):
    """How far the fold has come."""

    commit: int
    time_ms: int


class Service:
    """One server's replica of the authority.

    Raises FormatError where the policy or the CA certificate is not one, or the policy
    does not suit the number of servers; InvariantError where the store is not a state
    that this version can go on from; DamagedLogError where the log in files, which
    `read_log` reads, is not its own.
    """

    def __init__(self, config: ServiceConfig, store: KeyValue, read_log: Read = no_files) -> None:
        if config.mode not in MODES:
            raise ValueError(f"a mode is one of {', '.join(MODES)}")
        dealt = parse_policy(config.policy)
        dealt.check_for(config.quorums)
        config.gatherers.check(dealt)
        self._config = config
        self._state = State(store)
        self._history = History(self._state)
        self._registry = Registry(self._state)
        self._recent = RecentAnswers(self._state)
        self._confirmation = Confirmation(config.domain, config.authenticator, config.nonce_secret)
        self._certifier = Certifier(config.domain, issuer_of(config.ca_certificate))
        self._progress = self._open()
        self._registry.begin(self._progress.time_ms)
        self._in_force = self._policy_in_force()
        self._credentials = Credentials(self._state, self._registry)
        self._rates = Rates(self._state, self._in_force)
        self._tokens_found: tuple[TokenInForce, ...] | None = None
        """as of the last commit, once somebody has asked"""
        self.ledger = Ledger(self._state, self._registry, read_log)
        self._fold = self._make_fold()

    # --- before the order

    def welcome_nonce(self, utc_ms: int, unique: bytes) -> bytes:
        """A challenge for a client that connects; `unique` differs from call to call."""
        return self._confirmation.welcome_nonce(utc_ms, unique)

    def advise(self, request: bytes, signature: bytes, now_utc_ms: int) -> Request | Refusal:
        """The request, where this server sees no reason to refuse it before it is ordered.

        Only what stays true is a reason: form, policy, bans, a stale or used id.  What a
        server that lags may see otherwise (matches, taken names) is left to the order, or
        t+1 laggards could refuse what the cluster would grant.
        """
        case = self._advised(request, signature, now_utc_ms)
        return case if isinstance(case, Refusal) else case.request

    def attest(self, confirm: Confirm, now_utc_ms: int) -> Attested | Refused:
        """This server's attestation that the request's key answered its challenge, or why not."""
        case = self._advised(confirm.request, confirm.signature, now_utc_ms)
        if isinstance(case, Refusal):
            return Refused(rid_of_request(confirm.request), case.code, case.detail)
        return self._confirmation.attest(case, confirm, now_utc_ms)

    def ask(self, ask: Ask, now_utc_ms: int) -> Challenge | Refused:
        """A challenge for the request's encryption key, or why there is none.

        It costs a public-key operation and leaves nothing behind: the caller bounds how many.
        """
        case = self._advised(ask.request, ask.signature, now_utc_ms)
        if isinstance(case, Refusal):
            return Refused(rid_of_request(ask.request), case.code, case.detail)
        return self._confirmation.ask(case, ask, now_utc_ms)

    def gather(self, gather: Gather, now_utc_ms: int) -> Gathering | Refused:
        """This server's part in gathering evidence for the names of a signed request, or why it takes none.

        The caller does its jobs, and bounds how many: each is work for whoever asks.
        """
        # upon GATHER: begun where the policy asks for it, of a request that it could count for
        case = self._advised(gather.request, gather.signature, now_utc_ms)
        if isinstance(case, Refusal):
            return Refused(rid_of_request(gather.request), case.code, case.detail)
        found = self._config.gatherers.find(gather.gatherer)
        is_asked_for = case.request.kind in {ISSUE, UPDATE, REVOKE} and self._in_force.policy.gathers(gather.gatherer)
        if found is None or not is_asked_for:
            return Refused(case.request.rid, NO_SUCH_EVIDENCE.code, NO_SUCH_EVIDENCE.detail)
        if not self._confirmation.recognises(gather.nonce, now_utc_ms):
            return Refused(case.request.rid, NOT_OURS.code, NOT_OURS.detail)
        return Gathering(found, self._config.authenticator, case, now_utc_ms)

    def check_record(self, record: bytes) -> ParsedRecord | Refusal:
        """The record, where it is worth ordering: well-formed and signed by its client."""
        return parse_record(self._config.domain, record)

    def stored_answer(self, client: bytes, rid: bytes) -> HistoryEntry | None:
        """The digest of the request that counted under a client id and rid, and its encoded answer."""
        return self._history.find(client, rid)

    def recent_answer(self, subject: Subject) -> bytes | None:
        """The encoded answer to a retrieve, if it is among the last that this server gave."""
        return self._recent.find(subject)

    def query(self, data: bytes) -> tuple[Listed | Refused, int]:
        """What the state of the newest commit lists for a retrieve, and what that cost in certificates read.

        Nobody signs it: the request is public, changes nothing, and its rid serves to tell answers apart.
        """
        try:
            request = read_request(data)
        except FormatError as error:
            return Refused(b"", Code.MALFORMED, str(error)), QUERY_WORK
        subject = subject_of(request, data)
        case = read_case(self._config.domain, self._config.mode, request, subject)
        if isinstance(case, Refusal):
            return Refused(request.rid, case.code, _explained(case, request).detail), QUERY_WORK
        if request.kind != RETRIEVE:
            return Refused(request.rid, Code.MALFORMED, "only a retrieve is answered out of order"), QUERY_WORK
        found = find(self._registry, case, self._in_force.policy.cluster.retrieve_max)
        work = QUERY_WORK + found.examined
        if isinstance(found.serials, Refusal):
            return Refused(request.rid, found.serials.code, found.serials.detail), work
        certificates = tuple(self.certificate(serial) or b"" for serial in found.serials)
        return Listed(request.rid, subject.digest, found.serials, certificates), work + len(certificates)

    @property
    def limits(self) -> Limits:
        """Those in force at the newest commit; that of a source is each server's own to keep."""
        return self._in_force.policy.limits

    def policy_found(self, rid: bytes) -> PolicyReply:
        """The policy in force at the newest commit; `rid` (16 bytes) is the asker's name for the answer."""
        in_force = self._in_force
        if self._tokens_found is None:
            self._tokens_found = tuple(self._token_found(grant) for grant in in_force.tokens())
        return PolicyReply(rid, self.commit_index, in_force.digest, in_force.text, self._tokens_found)

    # --- the fold

    def apply_commit(self, commit: Commit) -> list[Effect]:
        """Apply the next commit and write the state, atomically with its index.

        Raises InvariantError for any other commit than the next.
        """
        progress = self._progress
        if commit.index != progress.commit + 1 or commit.time_ms < progress.time_ms:
            raise InvariantError(f"commit {commit.index} cannot follow commit {progress.commit}")
        self._state.begin()
        place = Place(commit.index, commit.time_ms, commit.coin)
        # at a commit's boundary: agreed time moves first, then come the records
        self._registry.begin(commit.time_ms)
        outcomes = [self._fold.apply(place, record) for record in commit.records]
        # and at its end what is over leaves, a bounded number: nothing above reads it
        self._registry.expire()
        self._history.forget_old(commit.time_ms)
        self._rates.drop_old(commit.time_ms)
        self._progress = Progress(commit.index, commit.time_ms)
        self._state.put(_PROGRESS, encode(self._progress))
        effects = [effect for effect in outcomes if effect is not None]
        self.ledger.enter(commit, effects)
        self._state.commit()
        self._tokens_found = None
        self.ledger.written()
        for effect in effects:
            if effect.answer.kind == RETRIEVE:
                self._recent.keep(Subject(effect.client, effect.rid, effect.digest), encode(effect.answer))
        return effects

    @property
    def commit_index(self) -> int:
        """Index of the last applied commit; 0 before the first."""
        return self._progress.commit

    @property
    def agreed_time_ms(self) -> int:
        """Agreed time of the last applied commit (UTC)."""
        return self._progress.time_ms

    def state_digest(self) -> bytes:
        """32 bytes over the whole state as of the last applied commit."""
        return self._state.digest()

    # --- certificates

    def tbs(self, serial: bytes) -> bytes | None:
        """The bytes to sign for a certificate that this server entered itself."""
        entry = self._registry.find(serial)
        return None if entry is None else entry.tbs

    def certificate(self, serial: bytes) -> bytes | None:
        """The finished certificate (DER), where its signature is here."""
        signature = self._state.get(SIGNATURE + serial)
        tbs = None if signature is None else self.tbs(serial)
        return None if tbs is None or signature is None else assemble(tbs, signature)

    def complete(self, serial: bytes, signature: bytes) -> bytes | None:
        """Keep the verified signature of a certificate; the certificate (DER).

        The first signature stays: RSASSA-PKCS1-v1_5 is unique.  None where the certificate
        has left the state since, because it expired.
        """
        tbs = self.tbs(serial)
        if tbs is None:
            return None
        first = self._state.get(SIGNATURE + serial)
        if first is None:
            self._state.write_local({SIGNATURE + serial: signature, UNSIGNED + serial: None})
        return assemble(tbs, first or signature)

    def unsigned(self) -> list[bytes]:
        """The serials of entered certificates whose signature is not here, ascending."""
        return [key[len(UNSIGNED) :] for key, _ in self._state.scan(UNSIGNED)]

    # --- within

    def _open(self) -> Progress:
        """Read how far the state has come, or begin it as dealt."""
        saved = self._state.get(_PROGRESS)
        if saved is None:
            return self._begin()
        progress: Progress = decode(saved, Progress, len(saved))
        return progress

    def _begin(self) -> Progress:
        progress = Progress(0, self._config.dealt_at_ms)
        self._state.put(_PROGRESS, encode(progress))
        deal_policy(self._state, self._config.policy)
        begin_log(self._state)
        self._state.put(_RULES, RULES_VERSION.to_bytes(2, "big"))
        self._state.commit()
        return progress

    def _policy_in_force(self) -> PolicyInForce:
        if self._state.get(_RULES) != RULES_VERSION.to_bytes(2, "big"):
            raise InvariantError("the state is not one that this version can go on from")
        return PolicyInForce(self._state, self._config.quorums, self._config.gatherers)

    def _make_fold(self) -> Fold:
        config = self._config
        servers = (config.quorums, config.authenticator)
        grounds = Grounds(config.domain, *servers, self._in_force, self._registry, config.gatherers)
        effects = Effects(config.mode, self._in_force, self._certifier, self._registry, self._credentials, self._rates)
        return Fold(config.domain, config.mode, self._history, Examiner(grounds), effects)

    def _token_found(self, grant: TokenGrant) -> TokenInForce:
        used = self._credentials.uses(grant.public_key)
        return TokenInForce(grant.public_key, grant.uses, used, tuple(map(str, grant.names)))

    def _advised(self, data: bytes, signature: bytes, now_utc_ms: int) -> Case | Refusal:
        try:
            request = read_request(data)
        except FormatError as error:
            return Refusal(Code.MALFORMED, str(error))
        if not verify_ed25519(request.client, request_string(self._config.domain, data), signature):
            return Refusal(Code.BAD_SIGNATURE, "the client's signature over the request does not verify")
        if is_stale(request.rid, now_utc_ms):
            return Refusal(Code.STALE_REQUEST, "the request id is not of this day: is the clock right?")
        subject = subject_of(request, data)
        case = read_case(self._config.domain, self._config.mode, request, subject)
        if isinstance(case, Refusal):
            return _explained(case, request)
        known = self._history.find(subject.client, subject.rid)
        if known is None:
            return self._refused_by_policy(case) or case
        if known.digest != subject.digest:
            return Refusal(Code.DUPLICATE_REQUEST, "another request has this id")
        return case  # it has its answer, which submitting it again will give

    def _refused_by_policy(self, case: Case) -> Refusal | None:
        if case.request.kind not in {ISSUE, UPDATE}:
            return None
        profile = profile_for(self._in_force.policy, case, self._certifier.path_length)
        if isinstance(profile, Refusal):
            return profile
        return BANNED if case.key is not None and self._registry.is_banned(case.key.digest) else None


def _explained(refusal: Refusal, request: Request) -> Refusal:
    """The same refusal with what exactly is wrong with names or key: for a person, outside the fold."""
    try:
        if request.names:
            normalise_names(request.names)
        if request.key:
            parse_spki(request.key)
    except (FormatError, UnsupportedKeyError) as error:
        return Refusal(refusal.code, f"{refusal.detail}: {error}")
    return refusal
