"""A server's handler from its init file: the one place where the parts are put together."""

from __future__ import annotations

from collections.abc import Iterable

from maftia.abc.order import GATHER_WAIT_MS, AtomicBroadcast, OrderConfig
from maftia.core.init_file import InitFile
from maftia.core.limits import CHECKPOINT_INTERVAL_COMMITS, ROUND_MAX
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.dca.gatherers import Gatherer, Gatherers
from maftia.dca.ledger import no_files
from maftia.dca.service import Service, ServiceConfig
from maftia.dca.state import KeyValue
from maftia.log.reader import Read
from maftia.replica.handler import HandlerConfig, ReplicaHandler
from maftia.replica.purposes import signing_purposes
from maftia.threshold.coin import Coin, CoinParty
from maftia.threshold.material import coin_public, coin_share, dca_public, dca_share
from maftia.threshold.scheme import ShoupRsa


def build_handler(
    init: InitFile,
    store: KeyValue,
    read_log: Read = no_files,
    *,
    gatherers: Iterable[Gatherer] = (),
    version: str,
    is_first_start: bool,
    coin: Coin | None = None,
    gather_wait_ms: int = GATHER_WAIT_MS,
    checkpoint_interval: int = CHECKPOINT_INTERVAL_COMMITS,
) -> ReplicaHandler:
    """The handler of the server that the init file is for, on its state.

    `read_log` reads the files of the log; `gatherers` are of evidence for names, the same on
    every server; `coin` replaces the dealt one (a simulator may share its computations).  Raises
    FormatError where the init file's numbers, policy or certificate are not sound;
    DamagedLogError where the log's files are not those of the state.
    """
    cluster = init.cluster
    auth = ServerAuthenticator(cluster.domain, init.party, SigningKey(init.signing_seed), cluster.verify_keys)
    order = AtomicBroadcast(
        OrderConfig(
            domain=cluster.domain,
            quorums=cluster.quorums,
            me=init.party,
            auth=auth,
            coin=coin or CoinParty(cluster.domain, coin_public(cluster), coin_share(init)),
            genesis_time_ms=cluster.dealt_at_ms,
            gather_wait_ms=gather_wait_ms,
            checkpoint_interval=checkpoint_interval,
            # nothing is deleted while no replica can install a snapshot: who was away for long comes home by fetches
            margin_rounds=ROUND_MAX,
        )
    )
    service = Service(
        ServiceConfig(
            domain=cluster.domain,
            quorums=cluster.quorums,
            mode=cluster.mode,
            authenticator=auth,
            ca_certificate=cluster.ca_certificate_der,
            policy=init.policy_text,
            dealt_at_ms=cluster.dealt_at_ms,
            nonce_secret=init.mac_secret,
            gatherers=Gatherers(gatherers),
        ),
        store,
        read_log,
    )
    purposes = signing_purposes(ShoupRsa(cluster.domain, dca_public(cluster), dca_share(init)))
    config = HandlerConfig(cluster.domain, cluster.quorums, auth, purposes, version, is_first_start)
    return ReplicaHandler(config, order, service)
