"""The reader's network: six layers of BERT over MiniLM's words, and a head that judges spans of their output."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Network", "Window", "network_of"]


class Window(NamedTuple):
    """A page, or as many whole spans of it as fit, as the network sees it: ``spans`` are (which one, first token, last
    token + 1)."""

    page: int
    ids: list[int]
    title_at: int
    both: list[int]
    spans: list[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Network:
    """Windows in, log odds out. ``both``: the embeddings of tokens that one side has, and of those that both have."""

    bert: Any
    both: Any
    hidden: tuple[Any, Any]
    out: tuple[Any, Any]

    def __call__(self, windows: Sequence[Window]) -> list[float]:
        """The log odds of all spans of all windows, in their order."""
        import torch
        from torch.nn import functional

        shape = (len(windows), max(len(window.ids) for window in windows))
        ids, kinds, mask, both = (np.zeros(shape, dtype=np.int64) for _ in range(4))
        for row, window in enumerate(windows):
            count = len(window.ids)
            ids[row, :count], mask[row, :count], both[row, :count] = window.ids, 1, window.both
            kinds[row, window.title_at : count] = 1
        embedded = self.bert.embeddings.word_embeddings(torch.from_numpy(ids))
        states = self.bert(
            inputs_embeds=embedded + functional.embedding(torch.from_numpy(both), self.both).to(embedded.dtype),
            token_type_ids=torch.from_numpy(kinds),
            position_ids=torch.arange(shape[1])[None],
            attention_mask=torch.from_numpy(mask),
        ).last_hidden_state.float()
        rows = [
            torch.cat([states[row, begin:end].mean(0), states[row, 0]])
            for row, window in enumerate(windows)
            for _, begin, end in window.spans
        ]
        if not rows:
            return []
        hidden = functional.gelu(functional.linear(torch.stack(rows), *self.hidden))
        found: list[float] = functional.linear(hidden, *self.out)[:, 0].tolist()
        return found

    def halved(self, half: Any) -> Network:
        """The transformer in half precision; what follows it stays as it is."""
        return replace(self, bert=copy.deepcopy(self.bert).to(half))


def network_of(folder: Path, file: Path) -> Network:
    """The network of a file of weights, with the words of MiniLM in a folder. Raises what torch does, and ValueError
    where the weights are not its."""
    import torch
    from safetensors import safe_open
    from transformers import BertConfig, BertModel

    tensors = _dequantised(file)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    words = "embeddings.word_embeddings.weight"
    with safe_open(str(folder / "model.safetensors"), "pt") as stored:
        state = {words: stored.get_tensor(words).float()}
    state |= {name.removeprefix("m."): tensor for name, tensor in tensors.items() if name.startswith("m.")}
    with torch.device("meta"):  # weights that are not there yet cost no time, and no number of torch's generator
        bert = BertModel(BertConfig(**config), add_pooling_layer=False)
    missing = set(bert.state_dict()) ^ set(state)
    if missing - {"embeddings.position_ids"}:
        raise ValueError(f"other weights than the network's: {', '.join(sorted(missing)[:3])}")
    bert.load_state_dict(state, strict=False, assign=True)
    hidden = (tensors["h.0.weight"], tensors["h.0.bias"])
    return Network(bert.eval(), tensors["both.weight"], hidden, (tensors["h.2.weight"], tensors["h.2.bias"]))


def _dequantised(file: Path) -> dict[str, Any]:
    """The tensors of a file of int8 matrices with their scales (``NAME|scale``: one for each row, or one for each of
    some equal parts of it), and of arrays as they are."""
    import torch

    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
        arrays = {name: stored[name].astype(np.float32) for name in stored.files}
    found = {}
    for name, array in arrays.items():
        if name.endswith("|scale"):
            continue
        scale = arrays.get(f"{name}|scale")
        if scale is not None:
            array = array * np.repeat(scale, array.shape[1] // scale.shape[1], axis=1)
        found[name] = torch.from_numpy(array)
    return found
