"""Clusters of real servers, shared by tests; one user with a folder of their own a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, write_dealing
from tests.e2e.commands import User
from tests.e2e.policies import EVERYTHING


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four active servers in key-major, with the default policy."""
    folder = tmp_path_factory.mktemp("cluster")
    cluster = Cluster(folder, write_dealing(folder))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.clean_up()


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four active servers whose policy allows everything, for tests that leave them running and use their own names."""
    folder = tmp_path_factory.mktemp("everything")
    cluster = Cluster(folder, write_dealing(folder, policy=EVERYTHING))
    try:
        cluster.start()
        yield cluster
        assert cluster.complaints() == []
    finally:
        cluster.clean_up()


@pytest.fixture
def user(tmp_path: Path, cluster: Cluster, openssl: str) -> User:
    """Somebody new."""
    return User(tmp_path / "user", cluster)


@pytest.fixture
def stranger(tmp_path: Path, cluster: Cluster) -> User:
    """Somebody else."""
    return User(tmp_path / "stranger", cluster)
