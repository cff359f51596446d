"""The benchmark of single choices measures what it says; its numbers are for a quiet machine."""

from __future__ import annotations

from rag_pgvector.evals.bench.micro import CALL, SIZES, measure


def test_every_choice_is_measured_both_ways(server_url: str) -> None:
    report = measure(server_url, rows=CALL, rounds=1)
    assert report["small_write"]["ms"].keys() == set(SIZES)
    for size in SIZES:
        assert report["small_write"]["ms"][size].keys() == {"insert", "staged"}
    assert report["toast"]["toast_tuple_target"].keys() == {"4080", "2032"}
    assert report["add_without_graph"]["ms"].keys() == {"ours", "raw"}
    assert report["add_without_graph"]["calls"] == 1
    assert report["keyword_writes"]["ms"].keys() == {"one_by_one", "together"}
    assert report["keyword_writes"]["merge"]["documents"] == 5 * CALL
