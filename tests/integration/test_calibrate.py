"""Calibrations: fitted to a collection's own questions, kept per tenant, refused where they no longer fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pgvector import CollectionConfig, Database, Document
from rag_pgvector.answer.confidence import (
    PRIOR,
    extractive_confidence,
    guaranteed_thresholds,
    judge,
    mismatch,
    upper_bound,
)
from rag_pgvector.cli.app import run
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.calibrate import Label, calibrate, calibration_of
from rag_pgvector.evals.questions import GoldenQuestion
from rag_pgvector.ingest import ingest
from rag_pgvector.transfer import export_tenant, import_tenant

NOW = {"embedder": "m", "documents": 8, "chunks": 40, "chunking": {"size": 200}}


def invented(count: int, *, shift: float = 0.0) -> list[Label]:
    """Labels whose probability of being right is the prior's, its log odds shifted."""
    draw = np.random.default_rng(0)  # its own: else the order of the tests would decide
    found = []
    for number in range(count):
        signals = {name: float(draw.random()) for name in PRIOR.weights}
        prior = extractive_confidence(signals)
        chance = 1 / (1 + np.exp(-(np.log(prior / (1 - prior)) + shift)))
        found.append(Label(f"doc {number % 12}", signals, bool(draw.random() < chance)))
    return found


def test_fewer_than_twenty_labels_are_refused() -> None:
    with pytest.raises(ConfigError, match="19 questions"):
        calibration_of(invented(19), NOW)
    made = [Label("d", {}, False, made=True)] * 50
    with pytest.raises(ConfigError, match="19 questions"):
        calibration_of([*invented(19), *made], NOW)
    with pytest.raises(ConfigError, match="all wrong"):
        calibration_of([Label(f"{n}", {}, False) for n in range(30)], NOW)


def test_a_shift_is_found_and_no_shift_is_left_alone() -> None:
    same, shifted = calibration_of(invented(190), NOW), calibration_of(invented(190, shift=-2.0), NOW)
    assert same["method"] == shifted["method"] == "platt"
    assert abs(same["intercept"]) < 0.5
    assert shifted["intercept"] < -1.0
    signals = dict.fromkeys(PRIOR.weights, 0.6)
    judged = judge(signals, (shifted, NOW), threshold=0.6)
    assert (judged.kind, judged.calibration_id) == ("calibrated", shifted["id"])
    assert judged.confidence < extractive_confidence(signals) - 0.1


def test_two_hundred_labels_fit_every_weight_around_the_prior() -> None:
    found = calibration_of(invented(600), NOW)
    assert found["method"] == "refit"
    assert set(found["weights"]) == set(PRIOR.weights)
    assert all(weight >= 0 for weight in found["weights"].values())
    assert found["intercept"] == pytest.approx(PRIOR.intercept, abs=1.5)
    assert found["out_of_fold"]["ece_debiased"] < 0.08
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"embedder": "other"}, "another embedder"),
        ({"chunking": {"size": 100}}, "another chunker"),
        ({"documents": 11}, "had 8 documents and has 11"),
        ({"chunks": 29}, "had 40 chunks and has 29"),
    ],
)
def test_what_no_longer_fits_is_refused_and_said(change: dict[str, Any], reason: str) -> None:
    found = calibration_of(invented(60), NOW)
    assert mismatch(found, NOW | {"documents": 10, "chunks": 50, "chunking": None}, reader=True) == ""
    judged = judge({}, (found, NOW | change), threshold=0.6)
    assert judged.kind == "prior"
    assert reason in judged.warnings[0]
    assert mismatch(found | {"format": "x"}, NOW, reader=True)
    assert "another version" in mismatch(found | {"fingerprint": {}}, NOW, reader=True)


def test_a_guarantee_is_given_or_denied_with_the_number_of_labels() -> None:
    found = calibration_of(invented(60), NOW)
    full = dict.fromkeys(PRIOR.weights, 1.0)
    denied = judge(full, (found, NOW), threshold=0.6, target_risk=0.01)
    assert denied.confidence < denied.threshold
    assert "not attainable with 60 labels" in denied.warnings[0]
    given = judge(full, (found | {"thresholds": {"0.20": 0.8}}, NOW), threshold=0.6, target_risk=0.25)
    assert (given.kind, given.threshold) == ("guaranteed", 0.8)
    alone = judge(full, None, threshold=0.6, target_risk=0.2)
    assert alone.confidence < alone.threshold
    assert "needs a calibration" in alone.warnings[0]


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the extra evals")
    for wrong, count in ((0, 10), (0, 59), (5, 103), (12, 40)):
        assert upper_bound(wrong, count) == pytest.approx(stats.beta.ppf(0.95, wrong + 1, count - wrong), abs=1e-6)
    assert upper_bound(3, 3) == 1.0
    assert guaranteed_thresholds([0.9] * 59, [True] * 59).keys() >= {"0.05", "0.06"}
    assert "0.04" not in guaranteed_thresholds([0.9] * 59, [True] * 59)


def test_the_guaranteed_risk_is_kept() -> None:
    broken = used = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        confidence = draw.random(200)
        least = guaranteed_thresholds(confidence.tolist(), (draw.random(200) < confidence).tolist()).get("0.20")
        if least is not None:
            used += 1
            broken += (1 - least) / 2 > 0.20  # the mean of 1 - confidence above the threshold
    assert used > 40
    assert broken <= 0.05 * 100


# ------------------------------------------------------------------------------------------------------- a collection


PLACES = {
    "Orrin": ("lighthouse", "1871", "Ada Holm"),
    "Velm": ("granary", "1902", "Tor Lind"),
    "Kasten": ("aqueduct", "1788", "Mila Roth"),
    "Brae": ("observatory", "1934", "Hugo Vance"),
}


def golden() -> list[GoldenQuestion]:
    found = []
    for place, (thing, year, person) in PLACES.items():
        asked = {
            f"When was the {thing} of {place} built?": year,
            f"Who designed the {thing} of {place}?": person,
            f"What colour is the {thing} of {place}?": None,
            f"How many steps has the {thing} of {place}?": None,
            f"Which stone was the {thing} of {place} made of?": "basalt",
        }
        for question, answer in asked.items():
            found.append(
                GoldenQuestion(
                    question,
                    question,
                    answer is not None,
                    answer or "",
                    (),
                    f"{place}.txt" if answer else None,
                    None,
                    "x",
                )
            )
    return found


def write(folder: Path) -> None:
    for place, (thing, year, person) in PLACES.items():
        (folder / f"{place}.txt").write_text(
            f"The {thing} of {place} was built in {year}. It was designed by {person}, who lived nearby. "
            f"The {thing} was made of basalt from the quarry. A road leads there from the village.\n",
            encoding="utf-8",
        )


def test_a_tenants_calibration_is_its_own_and_travels_with_it(
    tenant_db: Database, app_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    questions = tmp_path / "golden.jsonl"
    questions.write_text(
        "\n".join(
            json.dumps({name: getattr(each, name) for name in ("id", "question", "answerable", "answer", "accept")}
                       | {"source": each.source, "page_or_row": None, "kind": each.kind})
            for each in golden()
        ),
        encoding="utf-8",
    )  # fmt: skip
    shared = tenant_db.collection("docs", config=CollectionConfig(dimensions=384, tenancy="multi"))
    acme, bolt = shared.for_tenant("acme"), shared.for_tenant("bolt")
    for tenant in (acme, bolt):
        assert not ingest(tenant, [tmp_path / f"{place}.txt" for place in PLACES]).failed
    file = tmp_path / "calibration.json"
    verb = ["calibrate", str(questions), "--collection", "docs", "--url", app_url]
    assert run([*verb, "--tenant", "acme", "--export", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(file.read_text(encoding="utf-8"))
    assert (found["labels"], found["made"] > 5) == (20, True)

    question = "When was the granary of Velm built?"
    given = acme.ask(question)
    assert (given.confidence_kind, given.calibration_id) == ("calibrated", found["id"])
    assert bolt.ask(question).confidence_kind == "prior"
    assert acme.ask(question, target_risk=0.01).failure_mode == "low_confidence"

    lines = list(export_tenant(acme))
    carol = shared.for_tenant("carol")
    import_tenant(carol, lines)
    assert carol.ask(question).calibration_id == found["id"]

    verb = ["calibrate", "--collection", "docs", "--url", app_url, "--tenant", "bolt"]
    assert run([*verb, "--load", str(file)]) == 0
    assert bolt.ask(question).calibration_id == found["id"]
    for number in range(3):
        bolt.put_document(Document(id=f"{number}", source=f"{number}", text="x", loader="text"), [])
    stale = bolt.ask(question)
    assert stale.confidence_kind == "prior"
    assert "calibrate' again" in stale.warnings[0]
    assert run([*verb, "--load", str(file)]) == 2
    assert run([*verb, "--forget"]) == 0
    assert bolt.calibration() is None
    assert run(verb) == 2


async def test_asked_asynchronously_the_confidence_is_the_same(database_url: str, tmp_path: Path) -> None:
    write(tmp_path)
    async with Database(database_url) as db:
        docs = db.collection("docs", config=CollectionConfig(dimensions=384))
        ingest(docs, tmp_path)
        found = calibrate(docs, golden())
        question = "Who designed the aqueduct of Kasten?"
        given = await docs.aask(question)
        assert given == docs.ask(question)
        assert given.calibration_id == found["id"]
        await docs.aset_calibration(None)
        assert (await docs.aask(question, target_risk=0.5)).failure_mode == "low_confidence"
        with pytest.raises(ConfigError, match="target_risk"):
            await docs.aask(question, target_risk=1.5)
