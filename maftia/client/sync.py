"""The client without async: the same methods, as ordinary calls.

    with SyncClient(cluster, identity) as client:
        issued = client.issue(SubjectKey(private), ["dns:www.example.org"])

A thread of its own runs the connections, which stay open between calls.  Calls may come
from several threads at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import trio

from maftia.client.client import (
    TIMEOUT_S,
    Certificate,
    Client,
    Consistency,
    Issued,
    Revoked,
    ServerStatus,
    open_client,
    utc_now_ms,
)
from maftia.client.conversation import Contact
from maftia.client.keys import SubjectKey
from maftia.client.link import Connect
from maftia.core.cluster_file import ClusterFile
from maftia.core.identifiers import PartyId
from maftia.core.signing import SigningKey

T = TypeVar("T")


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

    def issue(
        self,
        key: SubjectKey,
        names: Sequence[str],
        *,
        profile: str = "server",
        tokens: Sequence[SigningKey] = (),
        attestations: int = 0,
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Issued:
        """As `Client.issue`."""
        return self._call(
            partial(
                self._client.issue,
                key,
                names,
                profile=profile,
                tokens=tokens,
                attestations=attestations,
                rid=rid,
                contact=contact,
                timeout_s=timeout_s,
            )
        )

    def update(
        self,
        key: SubjectKey,
        names: Sequence[str],
        *,
        profile: str = "server",
        tokens: Sequence[SigningKey] = (),
        rights: Sequence[SubjectKey] = (),
        attestations: int = 0,
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Issued:
        """As `Client.update`."""
        return self._call(
            partial(
                self._client.update,
                key,
                names,
                profile=profile,
                tokens=tokens,
                rights=rights,
                attestations=attestations,
                rid=rid,
                contact=contact,
                timeout_s=timeout_s,
            )
        )

    def revoke(
        self,
        *,
        key: bytes = b"",
        names: Sequence[str] = (),
        serial: bytes = b"",
        reason: str = "unspecified",
        rights: Sequence[SubjectKey] = (),
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Revoked:
        """As `Client.revoke`."""
        return self._call(
            partial(
                self._client.revoke,
                key=key,
                names=names,
                serial=serial,
                reason=reason,
                rights=rights,
                rid=rid,
                contact=contact,
                timeout_s=timeout_s,
            )
        )

    def retrieve(
        self,
        *,
        key: bytes = b"",
        names: Sequence[str] = (),
        consistency: Consistency = "ordered",
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[Certificate, ...]:
        """As `Client.retrieve`."""
        return self._call(
            partial(
                self._client.retrieve,
                key=key,
                names=names,
                consistency=consistency,
                contact=contact,
                timeout_s=timeout_s,
            )
        )

    def status(self, *, timeout_s: float = TIMEOUT_S) -> tuple[ServerStatus, ...]:
        """As `Client.status`."""
        return self._call(partial(self._client.status, timeout_s=timeout_s))

    def new_rid(self) -> bytes:
        """As `Client.new_rid`."""
        return self._client.new_rid()

    def _call(self, method: Callable[[], Awaitable[T]]) -> T:
        return trio.from_thread.run(method, trio_token=self._token)

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
