"""The benchmark itself: its arithmetic, its reading of bytes, and one tiny run of the real thing."""

import json
from pathlib import Path

import pytest

from tests.bench.benchmarks.joins import gap
from tests.bench.benchmarks.latency import measure_first_token
from tests.bench.benchmarks.open_streams import most_open
from tests.bench.load.client import Exchange
from tests.bench.load.stream_reading import first_token_ms, response_error, token_delays_ms
from tests.bench.load.targets import Target
from tests.bench.plan import TINY
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.reporting.report import as_json, table, verdicts
from tests.bench.testbed import running_testbed

NATIVE = Target("native", 1)


def exchange(*packets: tuple[int, bytes]) -> Exchange:
    return Exchange(sent_ns=1_000_000_000, ended_ns=2_000_000_000, packets=list(packets))


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2.5), (0.95, 3.85), (1.0, 4)])
def test_percentiles_lie_between_neighbours_in_proportion(share: float, value: float) -> None:
    assert value == pytest.approx(percentile([4, 1, 3, 2], share))


def test_the_percentiles_of_nothing_are_not_a_number() -> None:
    assert spread([])["n"] == 0
    assert percentile([], 0.5) != percentile([], 0.5)


def test_the_first_token_counts_when_all_of_its_mark_has_come() -> None:
    came = exchange((1_001_000_000, b"HTTP/1.1 200 OK\r\n\r\nid: 3\nevent: mess"), (1_004_000_000, b"age.delta\n"))
    assert 4.0 == first_token_ms(NATIVE, came)


def test_a_stamped_token_is_late_by_the_time_since_its_stamp() -> None:
    came = exchange(
        (1_500_000_000, b"<1499000000> <14"), (1_600_000_000, b"98000000>\nevent: message.completed<1490000000>")
    )
    assert [1.0, 102.0] == token_delays_ms(came)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (b'\nevent: message.completed\ndata: {"text":"water flows"}\nevent: job.succeeded', ""),
        (b'\nevent: message.completed\ndata: {"text":"water"}\nevent: job.succeeded', "the text is not the model's"),
        (b'\nevent: message.completed\ndata: {"text":"water flows"}', "ended without"),
    ],
)
def test_an_answer_counts_as_complete_only_with_every_token_and_a_good_end(answer: bytes, wrong: str) -> None:
    said = response_error(NATIVE, exchange((1, answer)), "text-2")
    assert said.startswith(wrong)
    assert bool(said) == bool(wrong)


@pytest.mark.parametrize(
    ("numbers", "end", "wrong"),
    [
        ((2, 3, 4), b"job.cancelled", ""),
        ((2, 4), b"job.cancelled", "its events are not 2, 3, 4"),
        ((2, 2, 3), b"job.cancelled", "its events are not 2, 3, 4"),
        ((3, 4), b"job.cancelled", "its events are not 2, 3, 4"),
        ((2, 3), b"message.delta", "no end"),
    ],
)
def test_a_joined_stream_is_complete_with_each_event_once_and_in_order(
    numbers: tuple[int, ...], end: bytes, wrong: str
) -> None:
    frames = b"".join(b"id: %d\nevent: message.delta\n\n" % number for number in numbers[:-1])
    said = gap(exchange((1, frames + b"id: %d\nevent: %s\n\n" % (numbers[-1], end))))
    assert said.startswith(wrong)
    assert bool(said) == bool(wrong)


def test_open_streams_are_counted_from_first_byte_to_end() -> None:
    spans = [(1, 4), (2, 6), (5, 9)]
    assert 2 == most_open([Exchange(ended_ns=end, packets=[(begin, b"")]) for begin, end in spans])


@pytest.mark.parametrize(
    ("figure", "sense", "verdict"),
    [(4.9, "at most", "reached"), (5.1, "at most", "short"), (5.1, "at least", "reached"), (4.9, "at least", "short")],
)
def test_a_requirement_is_reached_or_short(figure: float, sense, verdict: str) -> None:
    assert verdict == Line(what="", figure=figure, unit="ms", need=5.0, sense=sense).verdict


def test_what_did_not_complete_is_in_the_table() -> None:
    found = Measurement(name="x", title="X")
    found.failed(["no end"], 3, "direct")
    assert "FAILED direct: 1 of 3 did not complete, the first: no end" in table(found)


async def test_a_tiny_run_measures_both_ways_through_headrace(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with running_testbed(database_url, redis_url, folder=tmp_path) as bed:
        found = await measure_first_token(bed, TINY)
        used = bed.meter().read()
    assert [] == found.failures
    assert ["direct", "native", "openai"] == list(found.runs[0])
    assert all(line.figure > 0 and line.verdict for line in found.lines)
    assert "of 4 requirements reached" in verdicts([found])
    kept = json.loads(json.dumps(as_json(TINY, [found], took_s=1.0, fsync_ms=0.1)))
    assert "first-token" == kept["figures"][0]["name"]
    assert {"api", "chat", "scheduler", "model stand-in", "load client"} == set(used.cpu_percent)
