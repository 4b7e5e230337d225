"""What the arithmetic alone costs: one full-length exponentiation, and `openssl speed` beside it."""

from __future__ import annotations

import random
import re
import shutil
import statistics
import subprocess
import time

from maftia.threshold.exponentiation import available_backends, power_secret

SAMPLES = 40
MEDIANS = 5


def exponentiation_ms(bits_list: list[int]) -> dict[int, float]:
    """CPU ms of one constant-time exponentiation with a full-length exponent: fastest of five interleaved medians."""
    source = random.Random(0)
    cases = {bits: (source.getrandbits(bits) | 1 << (bits - 1) | 1, source.getrandbits(bits)) for bits in bits_list}
    medians: dict[int, list[float]] = {bits: [] for bits in bits_list}
    for _ in range(MEDIANS):
        for bits, (modulus, exponent) in cases.items():
            medians[bits].append(statistics.median(_once_ms(modulus, exponent) for _ in range(SAMPLES)))
    return {bits: min(values) for bits, values in medians.items()}


def backends_ms(bits: int) -> dict[str, float]:
    """The same exponentiation by every backend that the machine has, interleaved."""
    source = random.Random(bits)
    modulus, exponent = source.getrandbits(bits) | 1 << (bits - 1) | 1, source.getrandbits(bits)
    times: dict[str, list[float]] = {backend.name: [] for backend in available_backends()}
    for _ in range(SAMPLES):
        for backend in available_backends():
            began = time.thread_time()
            backend.power(3, exponent, modulus)
            times[backend.name].append((time.thread_time() - began) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def _once_ms(modulus: int, exponent: int) -> float:
    began = time.thread_time()
    power_secret(modulus - 2, exponent, modulus)
    return (time.thread_time() - began) * 1000


def openssl_sign_per_s(bits: int) -> float | None:
    """Whole-key RSA signatures a second on one core, as `openssl speed` says; None where it is absent."""
    if shutil.which("openssl") is None:
        return None
    command = ["openssl", "speed", "-seconds", "1", f"rsa{bits}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(rf"rsa\s+{bits} bits\s+\S+\s+\S+\s+([\d.]+)", printed)
    return float(found.group(1)) if found else None
