"""Whole machines: agreement, delivery, quiescence under random schedules."""

from __future__ import annotations

import pytest

from tests.abc.order_cluster import Cluster


@pytest.mark.parametrize("n", [1, 2, 4, 7])
def test_one_record_reaches_all_and_the_cluster_falls_silent(n: int) -> None:
    cluster = Cluster(n)
    cluster.submit(0, b"hello")
    cluster.run()
    cluster.check_agreement()
    cluster.check_delivered([b"hello"])
    assert not any(cluster.servers[i].machine.is_busy for i in cluster.live)


@pytest.mark.parametrize("seed", range(20))
def test_many_records_from_all(seed: int) -> None:
    cluster = Cluster(4, seed)
    sent = []
    for k in range(30):
        for i in cluster.live:
            record = b"%d/%d" % (i, k)
            sent.append(record)
            cluster.submit(i, record)
        for _ in range(cluster.random.randrange(30)):
            cluster.step()
    cluster.run()
    cluster.check_agreement()
    cluster.check_delivered(sent)
