"""The reader's network: six layers of BERT over MiniLM's words, and a head that judges spans of their output."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Network", "Window", "network_of", "save_network", "untrained_network"]

_WORDS = "embeddings.word_embeddings.weight"
#: The head's width in the middle.
_HIDDEN = 192
#: How it is kept: matrices of more numbers than this as int8, with a scale for so many columns of a row.
_LARGE = 20_000
_COLUMNS = 64
#: The least scale that float16 has.
_LEAST = 6e-8


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
        found: list[float] = self.log_odds(windows).tolist()
        return found

    def log_odds(self, windows: Sequence[Window]) -> Any:
        """The same as a tensor, which can be learned from where gradients are on."""
        import torch
        from torch.nn import functional

        device = self.both.device
        shape = (len(windows), max(len(window.ids) for window in windows))
        ids, kinds, mask, both = (np.zeros(shape, dtype=np.int64) for _ in range(4))
        for row, window in enumerate(windows):
            count = len(window.ids)
            ids[row, :count], mask[row, :count], both[row, :count] = window.ids, 1, window.both
            kinds[row, window.title_at : count] = 1
        embedded = self.bert.embeddings.word_embeddings(torch.from_numpy(ids).to(device))
        marks = functional.embedding(torch.from_numpy(both).to(device), self.both)
        states = self.bert(
            inputs_embeds=embedded + marks.to(embedded.dtype),
            token_type_ids=torch.from_numpy(kinds).to(device),
            position_ids=torch.arange(shape[1], device=device)[None],
            attention_mask=torch.from_numpy(mask).to(device),
        ).last_hidden_state.float()
        places = [(row, begin, end) for row, window in enumerate(windows) for _, begin, end in window.spans]
        row, begin, end = torch.tensor(places, dtype=torch.int64, device=device).reshape(-1, 3).T
        # Not a slice for each: the gradient of every slice would be as large as all of the states.
        which = torch.repeat_interleave(end - begin)
        tokens = torch.arange(len(which), device=device) - (torch.cumsum(end - begin, 0) - end)[which]
        sums = torch.zeros(len(places), states.shape[2], device=device).index_add(0, which, states[row[which], tokens])
        means = sums / (end - begin)[:, None]
        hidden = functional.gelu(functional.linear(torch.cat([means, states[row, 0]], dim=1), *self.hidden))
        return functional.linear(hidden, *self.out)[:, 0]

    def learned(self) -> list[Any]:
        """The tensors that training changes: all but the words."""
        own = [tensor for name, tensor in self.bert.named_parameters() if name != _WORDS]
        return [*own, self.both, *self.hidden, *self.out]

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
    with safe_open(str(folder / "model.safetensors"), "pt") as stored:
        state = {_WORDS: stored.get_tensor(_WORDS).float()}
    state |= {name.removeprefix("m."): tensor for name, tensor in tensors.items() if name.startswith("m.")}
    with torch.device("meta"):  # weights that are not there yet cost no time, and no number of torch's generator
        bert = BertModel(BertConfig(**config), add_pooling_layer=False)
    _load(bert, state)
    hidden = (tensors["h.0.weight"], tensors["h.0.bias"])
    return Network(bert.eval(), tensors["both.weight"], hidden, (tensors["h.2.weight"], tensors["h.2.bias"]))


def untrained_network(folder: Path, device: str = "cpu") -> Network:
    """The network to be trained on a device: MiniLM as it is, and a head that knows nothing yet."""
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    config = BertConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    bert = BertModel(config, add_pooling_layer=False)
    stored = load_file(str(folder / "model.safetensors"))
    _load(bert, {name: tensor.float() for name, tensor in stored.items() if not name.startswith("pooler.")})
    bert.embeddings.word_embeddings.requires_grad_(False)
    both = torch.zeros(2, config.hidden_size, device=device, requires_grad=True)
    hidden = torch.nn.Linear(2 * config.hidden_size, _HIDDEN).to(device)
    out = torch.nn.Linear(_HIDDEN, 1).to(device)
    return Network(bert.to(device).train(), both, (hidden.weight, hidden.bias), (out.weight, out.bias))


def save_network(network: Network, file: Path) -> None:
    """Writes what ``network_of`` reads."""
    tensors = {f"m.{name}": tensor for name, tensor in network.bert.named_parameters() if name != _WORDS}
    tensors |= {"both.weight": network.both, "h.0.weight": network.hidden[0], "h.0.bias": network.hidden[1]}
    tensors |= {"h.2.weight": network.out[0], "h.2.bias": network.out[1]}
    arrays: dict[str, Any] = {}
    for name, tensor in tensors.items():
        array = tensor.detach().float().cpu().numpy()
        if array.ndim == 2 and array.size > _LARGE:
            arrays[name], arrays[f"{name}|scale"] = _quantised(array)
        else:
            arrays[name] = array
    with file.open("wb") as opened:
        np.savez_compressed(opened, **arrays)


def _load(bert: Any, state: dict[str, Any]) -> None:
    missing = set(bert.state_dict()) ^ set(state)
    if missing - {"embeddings.position_ids"}:
        raise ValueError(f"other weights than the network's: {', '.join(sorted(missing)[:3])}")
    bert.load_state_dict(state, strict=False, assign=True)


def _quantised(array: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """A matrix as int8, and the scale of every ``_COLUMNS`` of a row."""
    rows, columns = array.shape
    parts = array.reshape(rows, columns // _COLUMNS, _COLUMNS)
    scale = np.maximum(np.abs(parts).max(2) / 127, _LEAST).astype(np.float16)
    whole = np.round(parts / scale.astype(np.float32)[..., None])
    return np.clip(whole, -127, 127).astype(np.int8).reshape(rows, columns), scale


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
