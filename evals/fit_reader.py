"""Trains the reader of answers, and measures it on questions that it has not seen.

    python -m rag_pgvector.evals.fit_reader --data DIR [--generated FILE.jsonl] [--epochs 3] [--minutes N] [--most N]
        --out reader.npz
    python -m rag_pgvector.evals.fit_reader --data DIR [--most N] --judge reader.npz

``--data`` is the folder of public sets, of which ``reader_data`` says what is learned from. ``--generated`` adds what a
language model wrote and another one judged: the shipped weights had 46,000 such questions, which are not in this
package, and were trained by an earlier form of this program; it has not made weights as good itself yet. A GPU is used
if there is one (not tried). On a few cores three epochs take hours, or ``--minutes``, by the end of which the rate
falls to 0. To use the weights, put the file in place of ``reader.WEIGHTS`` and fit the prior again (``fit_prior``).

Training reads what answering reads: the same windows of the same pages (``reader.windows_of``). Binary cross-entropy of
every span; AdamW; MiniLM's words stay as they are. Printed is JSON, of the file that was written or is judged:

* ``sentence``: the share of answerable questions whose right sentence has the highest log odds of its passage's;
* ``without``, ``near``, ``adversarial``: how well the highest log odds tell a passage whose right sentence has them
  from the same one without that sentence, from the nearest other passage, and from the passages of SQuAD's adversarial
  questions (AUROC).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rag_pgvector.answer.pages import MOST_LOG_ODDS
from rag_pgvector.answer.reader import LogOdds, Reader, Reads, batches_of, windows_of
from rag_pgvector.answer.reader_network import Network, save_network, untrained_network
from rag_pgvector.answer.steps import Page
from rag_pgvector.errors import MissingDependencyError
from rag_pgvector.evals.confidence import auroc
from rag_pgvector.evals.in_memory import VectorCache
from rag_pgvector.evals.reader_data import Row, examples, nearest, read_generated, read_human, without_answer

__all__ = ["judged", "main", "train"]

_RATE, _DECAY, _WARM_UP, _LONGEST_GRADIENT = 3e-4, 0.01, 60, 1.0
#: Padded tokens of a batch, on a GPU and elsewhere.
_BATCH_TOKENS = {"cuda": 24_576, "cpu": 2_048}
#: Steps between two lines on how it goes.
_TOLD = 50


def train(
    network: Network,
    tokenizer: Any,
    rows: Sequence[Row],
    *,
    epochs: int = 3,
    minutes: float | None = None,
    batch_tokens: int | None = None,
    seed: int = 0,
) -> list[float]:
    """Trains a network where it is, and gives the loss of each step.

    Args:
        minutes: End after so long; the rate falls as the time does, if that is faster than the epochs.
        batch_tokens: Padded tokens of a batch, by default what suits the device.
    """
    import torch
    from torch.nn import functional

    from rag_pgvector.embedding.processor import half_precision

    @cache
    def tokens(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    device = network.both.device.type
    draw = np.random.default_rng(seed)
    learned = network.learned()
    optimiser = torch.optim.AdamW(learned, lr=_RATE, weight_decay=_DECAY)
    half = half_precision(device) is torch.bfloat16
    losses: list[float] = []
    begun, total = time.monotonic(), 0
    for _ in range(epochs):
        read = list(examples(rows, draw, tokens))
        windows = [
            window for at, row in enumerate(read) for window in windows_of(tokenizer, row.question, at, row.page)
        ]
        batches = batches_of(windows, batch_tokens or _BATCH_TOKENS[device])
        total = total or epochs * len(batches)
        warm_up = max(1, min(_WARM_UP, total // 10))
        for at in draw.permutation(len(batches)):
            spent = 0.0 if minutes is None else (time.monotonic() - begun) / (60 * minutes)
            done = max(len(losses) / total, spent)
            if done >= 1.0:
                return losses
            for group in optimiser.param_groups:
                group["lr"] = _RATE * min(1.0, (len(losses) + 1) / warm_up) * (1.0 - done)
            batch = batches[at]
            targets = [read[window.page].targets[which] for window in batch for which, _, _ in window.spans]
            with torch.autocast(device, torch.bfloat16, enabled=half):
                log_odds = network.log_odds(batch)
            target = torch.tensor(targets, device=log_odds.device)
            loss = functional.binary_cross_entropy_with_logits(log_odds.float(), target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned, _LONGEST_GRADIENT)
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
            if len(losses) % _TOLD == 0:
                told = f"step {len(losses)} of {total}: loss {np.mean(losses[-_TOLD:]):.4f}"
                print(told, file=sys.stderr, flush=True)
    return losses


def judged(reader: Reads, rows: Sequence[Row]) -> dict[str, Any]:
    """How well it reads rows, as the module says, and of how many each figure is."""
    right: list[bool] = []
    best: list[float] = []
    others: dict[str, list[float]] = {"without": [], "near": [], "adversarial": []}
    for row in rows:
        if not row.right:
            others["adversarial"] += map(_most, _read(reader, row.question, [row.page]))
            continue
        less = without_answer(row)
        pages = {"without": None if less is None else less.page, "near": row.near[0] if row.near else None}
        kept = {name: page for name, page in pages.items() if page is not None}
        own, *found = _read(reader, row.question, [row.page, *kept.values()])
        right.append(int(np.argmax(own)) in row.right)
        best.append(_most(own))
        for name, log_odds in zip(kept, found, strict=True):
            others[name].append(_most(log_odds))
    figures: dict[str, Any] = {"sentence": round(float(np.mean(right)), 4) if right else None, "n_sentence": len(right)}
    for name, worst in others.items():
        value = auroc([*best, *worst], [*right, *(False for _ in worst)]) if right else None
        figures[name] = None if value is None else round(value, 4)
        figures[f"n_{name}"] = len(worst)
    return figures


def _read(reader: Reads, question: str, pages: Sequence[Page]) -> list[LogOdds]:
    found = reader.read(question, pages)
    if found is None:
        raise MissingDependencyError("torch", "local")
    return found


def _most(log_odds: LogOdds) -> float:
    """The highest, of a page without spans the least that there is."""
    return float(log_odds.max(initial=-MOST_LOG_ODDS))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Prints the report; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the public sets")
    parser.add_argument("--generated", type=Path, help="JSONL of generated questions, with targets")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--minutes", type=float, help="end the training after so long")
    parser.add_argument("--most", type=int, help="only so many questions of each kind, drawn at random (seed 0)")
    file = parser.add_mutually_exclusive_group(required=True)
    file.add_argument("--out", type=Path, help="file that the weights are written to")
    file.add_argument("--judge", type=Path, help="file of weights that is measured, and nothing trained")
    options = parser.parse_args(arguments)
    from rag_pgvector.embedding import default_embedder
    from rag_pgvector.settings import load_settings

    human, held = read_human(options.data)
    if options.judge is not None:
        held = nearest(_drawn(held, options.most), VectorCache(default_embedder(load_settings()).embed_documents))
        print(json.dumps({"rows": {"held": len(held)}, "held": judged(Reader(options.judge), held)}))
        return 0
    import torch

    from rag_pgvector.embedding.bundled import bundled_folder, whole_tokenizer

    generated = [] if options.generated is None else read_generated(options.generated)
    embed = VectorCache(default_embedder(load_settings()).embed_documents)
    human, held, generated = (_drawn(rows, options.most) for rows in (human, held, generated))
    human, held = nearest(human, embed), nearest(held, embed)
    torch.manual_seed(0)
    torch.backends.cuda.enable_cudnn_sdp(False)  # which plans anew for every shape of a batch
    folder = bundled_folder()
    network = untrained_network(folder, "cuda" if torch.cuda.is_available() else "cpu")
    rows = [*human, *generated]
    tokenizer = whole_tokenizer(folder / "tokenizer.json")
    losses = train(network, tokenizer, rows, epochs=options.epochs, minutes=options.minutes)
    save_network(network, options.out)
    tenth = max(1, len(losses) // 10)
    report = {
        "rows": {"human": len(human), "generated": len(generated), "held": len(held)},
        "steps": len(losses),
        "first_loss": round(float(np.mean(losses[:tenth])), 4),
        "loss": round(float(np.mean(losses[-tenth:])), 4),
        "held": judged(Reader(options.out), held),
    }
    print(json.dumps(report))
    return 0


def _drawn(rows: list[Row], most: int | None) -> list[Row]:
    if most is None or most >= len(rows):
        return rows
    return [rows[at] for at in sorted(np.random.default_rng(0).choice(len(rows), most, replace=False))]


if __name__ == "__main__":
    sys.exit(main())
