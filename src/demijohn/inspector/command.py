"""The command `demijohn contexts`: live contexts of a running development server, in a terminal."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time

import click

from demijohn.serve import debug_servers
from demijohn.serve.debug_servers import DebugServer

from .records import Snapshot, snapshot_from
from .text import can_draw, tree

PERIOD = 1.0
"""Seconds from one look of `--watch` to the next."""
PATIENCE = 10.0
"""Seconds that a server has to answer."""


class NoServer(click.ClickException):
    """There is no server to ask; status 1."""


class SeveralServers(click.UsageError):
    """It is not clear which server to ask; status 2, as for any wrong use."""


@click.command("contexts", short_help="List the live contexts of a development server.")
@click.option("--port", "-p", type=int, help="Ask the server on this port, where several run.")
@click.option("--watch", is_flag=True, help="Look again each second, until Ctrl+C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line for each look.")
def contexts_command(port: int | None, watch: bool, as_json: bool) -> None:
    """List what a development server of yours is at: requests, streams, threads and tasks.

    The server runs on this machine with 'demijohn run --debug'; it is found without its address.
    """
    server = choose(list(debug_servers.servers()), port)
    try:
        while True:
            show(ask(server), as_json, clear=watch)
            if not watch:
                break
            time.sleep(PERIOD)
    except KeyboardInterrupt:
        click.echo()


def choose(servers: list[DebugServer], port: int | None) -> DebugServer:
    """The one server, or the one on that port. Raises what says why there is no such one."""
    if port is not None:
        servers = [server for server in servers if server.port == port]
    if not servers:
        where = "" if port is None else f" on port {port}"
        raise NoServer(
            f"No development server of yours runs{where} with debug on. Start one with"
            " 'demijohn run --debug'."
        )
    if len(servers) > 1:
        found = "".join(f"\n  --port {server.port}  {server.app}" for server in servers)
        raise SeveralServers(f"Several development servers run. Say which one:{found}")
    return servers[0]


def ask(server: DebugServer) -> Snapshot:
    """The server's contexts. Raises `NoServer` when it is gone, or does not answer."""
    try:
        status, body = _get(server)
    except TimeoutError:
        raise NoServer(
            f"{server.origin} did not answer within {PATIENCE:.0f} s. A server that runs"
            " '--without-threads' answers when its present request is done."
        ) from None
    except OSError as error:
        raise NoServer(f"{server.origin} is not reached: {error}") from None
    except http.client.HTTPException:
        status, body = 0, b""  # what it speaks is not HTTP
    try:
        if status == 200:
            return snapshot_from(json.loads(body))
    except (KeyError, TypeError, ValueError):
        pass
    raise NoServer(f"{server.origin} is another server now.")


def _get(server: DebugServer) -> tuple[int, bytes]:
    connection: http.client.HTTPConnection
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.address, server.address)
    if server.scheme == "https":
        # The server is known by its private file; its certificate may be anybody's.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            address, server.port, timeout=PATIENCE, context=context
        )
    else:
        connection = http.client.HTTPConnection(address, server.port, timeout=PATIENCE)
    headers = {
        "Host": f"{server.host}:{server.port}",
        "Authorization": f"Bearer {server.token}",
    }
    try:
        connection.request("GET", "/_contexts?format=json", headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def show(snapshot: Snapshot, as_json: bool, clear: bool) -> None:
    """Print a snapshot; `clear` empties the terminal first, if it is one."""
    if as_json:
        click.echo(json.dumps(snapshot.plain()))
        return
    if clear:
        click.clear()
    for line in tree(snapshot, can_draw(sys.stdout.encoding)):
        click.echo(line)
    if clear:
        click.echo(f"\n{_count(snapshot)} at {snapshot.taken}. Ctrl+C ends.")


def _count(snapshot: Snapshot) -> str:
    return f"{snapshot.count} context{'' if snapshot.count == 1 else 's'}"
