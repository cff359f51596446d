"""What a collection is about: clusters of its vectors with the chunks nearest to their centres, and a map of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.errors import ConfigError, MissingDependencyError
from rag_pgvector.frames import all_chunks
from rag_pgvector.types import Chunk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rag_pgvector.collection import Collection

__all__ = ["Cluster", "clusters", "plot_map", "project"]

Floats = NDArray[np.float64]

#: More colours cannot be told apart: what is rarer is "other".
_MOST_COLOURS = 10
_ROUNDS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Chunks that lie together.

    Attributes:
        number: From 0, the largest cluster first.
        size: How many chunks it has.
        representatives: The chunks nearest to its centre, the nearest first.
        ids: Of all its chunks.
        spread: Mean cosine distance of its chunks to the centre: near 0 they say nearly the same.
    """

    number: int
    size: int
    representatives: tuple[Chunk, ...]
    ids: tuple[str, ...] = field(repr=False)
    spread: float


def clusters(
    collection: Collection,
    k: int,
    *,
    representatives: int = 3,
    filter: Mapping[str, Any] | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[Cluster]:
    """``k`` clusters of the chunks' vectors, the largest first. The same collection gives the same clusters.

    Spherical k-means (Dhillon and Modha 2001) that starts as k-means++ (Arthur and Vassilvitskii 2007). Chunks without
    an embedding are left out. Raises ConfigError if there are fewer chunks than ``k``.
    """
    chunks, vectors = _embedded(collection, filter, limit)
    if type(k) is not int or not 1 <= k <= len(chunks):
        raise ConfigError(f"k={k!r}: use a whole number from 1 to the number of embedded chunks, {len(chunks)}")
    labels, centres = _k_means(vectors, k, np.random.default_rng(seed))
    near = (vectors * centres[labels]).sum(axis=1)
    found = []
    for label in range(k):
        members = np.flatnonzero(labels == label)
        if len(members):
            order = members[np.argsort(-near[members], kind="stable")]
            found.append((order, float(1.0 - near[members].mean())))
    found.sort(key=lambda each: (-len(each[0]), int(each[0][0])))
    return [
        Cluster(
            number=number,
            size=len(order),
            representatives=tuple(chunks[i] for i in order[:representatives]),
            ids=tuple(str(chunks[i].id) for i in order),
            spread=round(spread, 6),
        )
        for number, (order, spread) in enumerate(found)
    ]


def _embedded(
    collection: Collection, filter: Mapping[str, Any] | None, limit: int | None
) -> tuple[list[Chunk], Floats]:
    """The chunks that have a vector, and these vectors at length 1."""
    found = all_chunks(collection, filter=filter, limit=limit, embeddings=True)
    chunks = [chunk for chunk in found if chunk.embedding is not None]
    if not chunks:
        raise ConfigError(f"collection {collection.name!r} has no embedded chunks here: nothing can be grouped")
    vectors = np.asarray([chunk.embedding for chunk in chunks], dtype=np.float64)
    return chunks, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _k_means(vectors: Floats, k: int, draw: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    centres = vectors[[int(draw.integers(len(vectors)))]]
    while len(centres) < k:
        far = np.clip(1.0 - (vectors @ centres.T).max(axis=1), 0.0, None)
        chance = far / far.sum() if far.sum() > 0 else None
        centres = np.vstack([centres, vectors[int(draw.choice(len(vectors), p=chance))]])
    labels = np.full(len(vectors), -1, dtype=np.int64)
    for _ in range(_ROUNDS):
        new = (vectors @ centres.T).argmax(axis=1)
        if (new == labels).all():
            break
        labels = new
        for label in range(k):
            mean = vectors[labels == label].sum(axis=0)
            length = float(np.linalg.norm(mean))
            if length > 0:
                centres[label] = mean / length
    return labels, centres


def project(vectors: NDArray[Any]) -> Floats:
    """Two coordinates for each vector, ``(n, 2)``: the principal components of the vectors at length 1.

    Source: Pearson 1901. The sign of each component is fixed, so that the same vectors give the same map.
    """
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][np.arange(len(axes[:2])), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    flat = centred @ axes.T
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))


def plot_map(
    collection: Collection,
    *,
    color_by: str = "source",
    filter: Mapping[str, Any] | None = None,
    limit: int | None = 5_000,
) -> Figure:
    """A map of the collection in two dimensions, a point per chunk, coloured by a key of the metadata, or by "source".

    Near points are alike in their first two principal components only. Raises MissingDependencyError without
    matplotlib, ConfigError without embedded chunks.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError("matplotlib", "evals") from None

    class Map(Figure):
        def _repr_png_(self) -> bytes:  # Jupyter shows it without pyplot, too
            picture = io.BytesIO()
            self.savefig(picture, format="png")
            return picture.getvalue()

    chunks, vectors = _embedded(collection, filter, limit)
    places = project(vectors)
    figure = Map(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, members in _coloured([_value(chunk, color_by) for chunk in chunks]):
        axes.scatter(places[members, 0], places[members, 1], s=14, alpha=0.75, label=name)
    axes.set(title=f"{collection.name}: {len(chunks)} chunks", xticks=[], yticks=[])
    axes.legend(title=color_by, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _value(chunk: Chunk, key: str) -> str:
    value = chunk.metadata.get(key, getattr(chunk, key, None) if key in ("source", "document_id") else None)
    return "(none)" if value is None else str(value)


def _coloured(values: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Places by value, the most frequent value first; beyond the colours that can be told apart, "other"."""
    places: dict[str, list[int]] = {}
    for i, value in enumerate(values):
        places.setdefault(value, []).append(i)
    ranked = sorted(places.items(), key=lambda each: (-len(each[1]), each[0]))
    if len(ranked) <= _MOST_COLOURS:
        return ranked
    rest = [i for _, members in ranked[_MOST_COLOURS - 1 :] for i in members]
    return [*ranked[: _MOST_COLOURS - 1], ("other", rest)]
