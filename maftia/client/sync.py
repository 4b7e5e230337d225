"""The client without async: the same methods, as ordinary calls.

    with SyncClient(cluster, identity) as client:
        issued = client.issue(SubjectKey(private), ["dns:www.example.org"])

A thread of its own runs the connections, which stay open between calls.  Calls may come
from several threads at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial, wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import trio

from maftia.client.client import Client, open_client, utc_now_ms
from maftia.client.link import Connect
from maftia.core.cluster_file import ClusterFile
from maftia.core.identifiers import PartyId
from maftia.core.signing import SigningKey

P = ParamSpec("P")
T = TypeVar("T")


def _as_call(method: Callable[Concatenate[Client, P], Awaitable[T]]) -> Callable[Concatenate[SyncClient, P], T]:
    """A method of `Client`, with the same parameters, that waits for the result."""

    @wraps(method)
    def call(self: SyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.call(lambda client: method(client, *args, **kwargs))

    return call


class SyncClient:
    """A `Client` behind a thread.  Use it as a context manager; parameters as of `open_client`."""

    def __init__(
        self,
        cluster: ClusterFile,
        identity: SigningKey,
        *,
        utc_ms: Callable[[], int] = utc_now_ms,
        random_bytes: Callable[[int], bytes] = os.urandom,
        connects: Mapping[PartyId, Connect] | None = None,
    ) -> None:
        self._open = partial(
            open_client, cluster, identity, utc_ms=utc_ms, random_bytes=random_bytes, connects=connects
        )
        self._thread = threading.Thread(target=self._run, name="maftia-client", daemon=True)
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._client: Client
        self._token: trio.lowlevel.TrioToken
        self._done: trio.Event

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        trio.from_thread.run_sync(self._done.set, trio_token=self._token)
        self._thread.join()

    issue = _as_call(Client.issue)
    update = _as_call(Client.update)
    revoke = _as_call(Client.revoke)
    retrieve = _as_call(Client.retrieve)
    policy = _as_call(Client.policy)
    admin = _as_call(Client.admin)
    log_head = _as_call(Client.log_head)
    log_file = _as_call(Client.log_file)
    log_of = _as_call(Client.log_of)
    log_consistency = _as_call(Client.log_consistency)
    status = _as_call(Client.status)

    def new_rid(self) -> bytes:
        """As `Client.new_rid`."""
        return self._client.new_rid()

    def call(self, what: Callable[[Client], Awaitable[T]]) -> T:
        """Anything that is done with a client, from its thread (`audit.verify_log`)."""
        return trio.from_thread.run(what, self._client, trio_token=self._token)

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:  # noqa: BLE001 (handed to the thread that opens the client)
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._done = trio.Event()
        async with self._open() as client:
            self._client = client
            self._ready.set()
            await self._done.wait()
