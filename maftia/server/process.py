"""One server process: opens its port and its data, recovers, serves, and stops cleanly on SIGTERM.

The order matters.  The port is opened first, so that a second start of the same
server changes nothing; the data folder is locked before it is read; nothing is
accepted before recovery is complete.  An exception after that is a bug or a failing
disk: it is logged and ends the process, for a server that does not know its own
state must not go on speaking.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import trio

import maftia
from maftia.core.builder_check import check_certificate_bytes
from maftia.core.errors import FormatError, InvariantError, MaftiaError
from maftia.core.identifiers import PartyId
from maftia.core.limits import CLIENT_CONNECTIONS_MAX, HANDSHAKES_MAX, SERVERS_MAX
from maftia.dca.ledger import DamagedLogError
from maftia.net.connect import Dialler
from maftia.net.listener import Listener
from maftia.net.tls import TlsIdentity, endpoint_of, listening_context, pin_of
from maftia.replica.build import build_handler
from maftia.replica.driver import Driver
from maftia.server.config import ServerConfig, ServerStartError
from maftia.server.log import server_log
from maftia.store.data_dir import DataDir, DataDirError, open_data_dir
from maftia.store.journal import JournalError
from maftia.store.log_files import LogFilesError

OTHER_FILES = 64
"""descriptors beside connections: journal, state, the loop's own, libraries"""


class ServerFailedError(MaftiaError):
    """The server had to stop; the log says why."""


def run(config: ServerConfig) -> None:
    """Run until SIGTERM or SIGINT, then return.

    Raises ServerStartError where it cannot start as asked (wrong use: exit 2), and
    ServerFailedError where it had to stop (exit 1).
    """
    log = server_log(config.log_format, config.log_level).bind(server=config.init.party)
    _check_libraries()
    _allow_connections()
    try:
        trio.run(_main, config, log)
    except* ServerStartError as errors:
        raise ServerStartError(str(_first(errors))) from None
    except* Exception as errors:
        log.critical("the server must stop", exc_info=errors)
        raise ServerFailedError(f"the server had to stop: {_first(errors)}") from None


def _check_libraries() -> None:
    """Better no server than one whose shares combine with nobody's."""
    try:
        check_certificate_bytes()
    except InvariantError as error:
        raise ServerStartError(str(error)) from None


async def _main(config: ServerConfig, log: Any) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with AsyncExitStack() as opened:
            sockets = await _open_port(config)
            for one in sockets:
                await opened.enter_async_context(one)
            data = _open_data(config)
            opened.callback(data.close)
            driver = await _recovered_driver(config, data, log)
            log.info("listening", address=str(config.listen), version=maftia.__version__)
            await _serve(config, driver, sockets, signals, log)
    log.info("stopped")


async def _open_port(config: ServerConfig) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(config.listen.port, host=config.listen.host)
    except OSError as error:
        raise ServerStartError(
            f"cannot listen at {config.listen}: {error.strerror or error}. Is the server running already? "
            "--listen HOST:PORT gives another address"
        ) from None


def _open_data(config: ServerConfig) -> DataDir:
    init = config.init
    try:
        return open_data_dir(config.data_path, config.init_path, init.cluster.domain, init.party, os.urandom)
    except (DataDirError, JournalError) as error:
        raise ServerStartError(str(error)) from None
    except LogFilesError as error:
        raise _damaged_log(config, error) from None
    except (OSError, sqlite3.Error) as error:
        raise ServerStartError(f"cannot use the data folder {config.data_path}: {error}") from None


def _damaged_log(config: ServerConfig, error: MaftiaError) -> ServerStartError:
    folder = config.data_path / "log"
    return ServerStartError(
        f"{folder} is damaged: {error}. The disk is failing, or somebody has changed the files. Move the folder away, "
        f"copy the folder log from another server's data, which is the same if that server is as far, and start again: "
        f"what was copied is compared with this server's state"
    )


async def _recovered_driver(config: ServerConfig, data: DataDir, log: Any) -> Driver:
    try:
        handler = build_handler(
            config.init, data.state, data.log.read, version=maftia.__version__, is_first_start=data.is_first_start
        )
    except FormatError as error:
        raise ServerStartError(f"{config.init_path}: {error}") from None
    except DamagedLogError as error:
        raise _damaged_log(config, error) from None
    driver = Driver(
        handler,
        data.journal,
        data.state,
        data.log,
        {peer: dialler.connect for peer, dialler in _diallers(config).items()},
        log=log,
        utc_ms=lambda: time.time_ns() // 1_000_000,
        random_bytes=os.urandom,
        threads=len(os.sched_getaffinity(0)),
    )
    log.info("recovering", first_start=data.is_first_start)
    await driver.recover()
    return driver


def _diallers(config: ServerConfig) -> dict[PartyId, Dialler]:
    me = config.init.party
    servers = config.init.cluster.servers
    return {server.id: Dialler(endpoint_of(server), _identity(config)) for server in servers if server.id != me}


def _identity(config: ServerConfig) -> TlsIdentity:
    return TlsIdentity(config.init.cluster.servers[config.init.party].tls_certificate, config.init.tls_key)


def _listener(config: ServerConfig, driver: Driver) -> Listener:
    others = [server for server in config.init.cluster.servers if server.id != config.init.party]
    context = listening_context(_identity(config), [server.tls_certificate for server in others])
    return Listener(context, {pin_of(server.tls_certificate_der): server.id for server in others}, driver)


async def _serve(
    config: ServerConfig,
    driver: Driver,
    sockets: list[trio.SocketListener],
    signals: AsyncIterator[int],
    log: Any,
) -> None:
    accept = _listener(config, driver).accept
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, signals, driver, log)
        nursery.start_soon(partial(trio.serve_listeners, accept, sockets, handler_nursery=nursery))
        await driver.run()
        nursery.cancel_scope.cancel()


async def _stop_on_signal(signals: AsyncIterator[int], driver: Driver, log: Any) -> None:
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        driver.stop()


def _allow_connections() -> None:
    """Have as many descriptors as the limits on connections may need, where the system lets us."""
    needed = CLIENT_CONNECTIONS_MAX + HANDSHAKES_MAX + 2 * SERVERS_MAX + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _first(error: BaseException) -> BaseException:
    """The first of the errors that a group holds."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
