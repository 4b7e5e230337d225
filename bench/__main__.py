"""`python -m bench [--quick]`: floors, then clusters of real processes; a table, and JSON beside it."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio
from rich.console import Console
from rich.table import Table

from bench.cluster import RunningCluster, running
from bench.floors import backends_ms, exponentiation_ms, openssl_sign_per_s
from bench.machine import describe
from bench.workloads import Load, Subjects, closed_loop, connected, equal_states, isolated_ms

RESULTS = Path(__file__).parent / "results"
RUNS = 5
CONFIGURATIONS = ((4, 2048), (4, 3072), (7, 2048))
CLOSED_LOOP_TASKS = 32
CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    warm_up: int
    isolated_per_run: int
    loop_s: float
    idle_s: float


FULL = Extent(warm_up=50, isolated_per_run=200, loop_s=8.0, idle_s=60.0)
QUICK = Extent(warm_up=20, isolated_per_run=40, loop_s=3.0, idle_s=10.0)


def main() -> None:
    """Measure, print, and keep the figures in bench/results."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about two minutes instead of ten")
    extent = QUICK if parser.parse_args().quick else FULL
    console = Console(highlight=False)
    result: dict[str, Any] = {"machine": describe(), "extent": "quick" if extent is QUICK else "full"}
    for name, value in result["machine"].items():
        console.print(f"{name:15} {value}")
    result["floors"] = _floors(console)
    result["clusters"] = [_measure(console, n, bits, extent, result["floors"]) for n, bits in CONFIGURATIONS]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(result, indent=1))
    console.print(f"\nkept in {path}")


def _floors(console: Console) -> dict[str, Any]:
    sizes = sorted({bits for _, bits in CONFIGURATIONS})
    full = exponentiation_ms(sizes)
    floors = {}
    table = Table("modulus", "one exponentiation, CPU ms", "by backend, ms", "openssl speed, whole-key signatures/s")
    for bits in sizes:
        backends, speed = backends_ms(bits), openssl_sign_per_s(bits)
        floors[str(bits)] = {"exponentiation_ms": full[bits], "backends_ms": backends, "openssl_sign_per_s": speed}
        by_backend = ", ".join(f"{name} {value:.2f}" for name, value in backends.items())
        table.add_row(str(bits), f"{full[bits]:.2f}", by_backend, f"{speed:.0f}" if speed else "openssl not installed")
    console.print(table)
    return floors


def _measure(console: Console, n: int, bits: int, extent: Extent, floors: dict[str, Any]) -> dict[str, Any]:
    with console.status(f"n = {n}, RSA-{bits} …"), running(n, bits) as cluster:
        found = trio.run(partial(_load, cluster, extent))
    floor = floors[str(bits)]["exponentiation_ms"]
    t = (n - 1) // 3
    found |= {"n": n, "t": t, "bits": bits}
    found["closed_loop_over_floor"] = found["per_second"]["median"] * (t + 1) * floor / 1000 / 2
    _print(console, found)
    return found


async def _load(cluster: RunningCluster, extent: Extent) -> dict[str, Any]:
    subjects = Subjects(1000)
    async with connected(cluster, CLIENTS) as clients:
        await isolated_ms(clients[0], subjects, extent.warm_up)
        isolated = [await isolated_ms(clients[0], subjects, extent.isolated_per_run) for _ in range(RUNS)]
        loads = [await closed_loop(cluster, clients, subjects, CLOSED_LOOP_TASKS, extent.loop_s) for _ in range(RUNS)]
        is_equal = await equal_states(clients[0])
        await trio.sleep(2)
        before = cluster.cpu_s()
        await trio.sleep(extent.idle_s)
        idle = [after - start for start, after in zip(before, cluster.cpu_s(), strict=True)]
    return {
        "isolated_p50_ms": _range([statistics.median(run) for run in isolated]),
        "isolated_p99_ms": _percentile([one for run in isolated for one in run], 99),
        "isolated_samples": sum(map(len, isolated)),
        "per_second": _range([load.per_second for load in loads]),
        "certificates": sum(load.certificates for load in loads),
        "cpu_ms_per_certificate_and_server": _range([_cpu_ms(load, len(cluster.servers)) for load in loads]),
        "client_cpu_ms_per_certificate": _range([load.client_cpu_s / load.certificates * 1000 for load in loads]),
        "tasks": CLOSED_LOOP_TASKS,
        "states_equal": is_equal,
        "idle_cpu_s": {"seconds": extent.idle_s, "per_server_max": max(idle)},
        "memory_mb_max": max(cluster.memory_mb()),
    }


def _cpu_ms(load: Load, n: int) -> float:
    return load.server_cpu_s / load.certificates / n * 1000


def _range(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _print(console: Console, found: dict[str, Any]) -> None:
    table = Table("figure", "value", title=f"n = {found['n']}, t = {found['t']}, RSA-{found['bits']}, P-256 subjects")
    table.add_row("isolated issue p50, ms", _text(found["isolated_p50_ms"]))
    table.add_row(f"isolated issue p99, ms ({found['isolated_samples']} samples)", f"{found['isolated_p99_ms']:.1f}")
    table.add_row(f"closed loop, {found['tasks']} tasks: certificates/s", _text(found["per_second"]))
    table.add_row("… over the floor of t+1 exponentiations on two cores", f"{found['closed_loop_over_floor']:.2f}")
    table.add_row("CPU ms per certificate and server", _text(found["cpu_ms_per_certificate_and_server"]))
    table.add_row("CPU ms per certificate, client", _text(found["client_cpu_ms_per_certificate"]))
    table.add_row("all states equal at the end", str(found["states_equal"]))
    idle = found["idle_cpu_s"]
    table.add_row(f"idle CPU s per server over {idle['seconds']:.0f} s, worst", f"{idle['per_server_max']:.2f}")
    table.add_row("memory MB, largest server", f"{found['memory_mb_max']:.0f}")
    console.print(table)


def _text(figure: dict[str, float]) -> str:
    return f"{figure['median']:.1f} ({figure['min']:.1f} … {figure['max']:.1f})"


if __name__ == "__main__":
    main()
