"""A TLS server with a certificate of the cluster, and the programs of others that connect to it: curl, a browser.

Names lead to loopback by options of curl and of the browser; nothing is asked of a resolver.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.conftest import program
from tests.e2e.cluster import LOOPBACK

PAGE = "<html><head></head><body>served by a certificate of many</body></html>"
BROWSER_TIMEOUT_S = 60.0
_BROWSER = [
    "--headless",
    "--no-sandbox",  # as root there is no other way; every page is ours
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP * {LOOPBACK}",
]
_FAILED = re.compile(r"Page load failed: net::(ERR_\w+)")


class _Server(ThreadingHTTPServer):
    """Handshakes in the thread of each connection; a client that goes is no news."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((LOOPBACK, 0), _Page)
        self._context = context

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(chain: Path, key: Path) -> Iterator[int]:
    """The port of a server that sends this chain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with _Server(context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def curl(name: str, port: int, root: Path) -> int:
    """The exit code of curl that trusts `root`: 0, and it has the page; 60, it refused the certificate."""
    url, to = f"https://{name}:{port}/", f"::{LOOPBACK}:{port}"
    command = [program("curl"), "--silent", "--noproxy", "*", "--cacert", str(root), "--connect-to", to, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BROWSER_TIMEOUT_S)
    assert done.stdout == ("" if done.returncode else PAGE)
    return done.returncode


class Browser:
    """Chromium of a person who trusts one root, or none, besides those it comes with."""

    def __init__(self, home: Path, root: Path | None = None) -> None:
        self._program, certutil = program("chromium"), program("certutil")
        self._home = home
        self._database = home / ".pki" / "nssdb"
        self._database.mkdir(parents=True)
        self._run(certutil, "-N", "--empty-password")
        if root is not None:
            self._run(certutil, "-A", "-n", "the root", "-t", "C,,", "-i", str(root))

    def open(self, name: str, port: int) -> str:
        """Empty, and it shows the page; else the error for which it did not."""
        command = [self._program, *_BROWSER, f"--user-data-dir={self._home / 'profile'}", "--dump-dom"]
        done = subprocess.run(
            [*command, f"https://{name}:{port}/"],
            env={**os.environ, "HOME": str(self._home), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BROWSER_TIMEOUT_S,
        )
        failed = _FAILED.search(done.stderr)
        assert done.stdout.strip() == ("" if failed else PAGE), done
        return failed[1] if failed else ""

    def _run(self, certutil: str, *arguments: str) -> None:
        subprocess.run([certutil, "-d", f"sql:{self._database}", *arguments], check=True, capture_output=True)
