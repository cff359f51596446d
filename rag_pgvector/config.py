"""Options of collections and searches: frozen, keyword-only values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rag_pgvector.errors import ConfigError

__all__ = [
    "LANGUAGES",
    "CollectionConfig",
    "Distance",
    "IndexMethod",
    "Mode",
    "Quantization",
    "SearchOptions",
    "Storage",
    "Tenancy",
    "check_alpha",
]

Distance = Literal["cosine", "l2", "inner_product"]
Storage = Literal["vector", "halfvec"]
Tenancy = Literal["single", "multi"]
Mode = Literal["dense", "keyword", "hybrid"]
IndexMethod = Literal["hnsw", "ivfflat", "none"]
Quantization = Literal["halfvec", "binary"]

#: What pgvector can index, in dimensions (its README, "HNSW"): as halfvec, and as vector.
MAX_DIMENSIONS = 4000
_MAX_VECTOR_DIMENSIONS = 2000
_MAX_LISTS = 32768


#: Languages that have a Snowball stemmer; "simple" neither stems nor leaves out stop words.
LANGUAGES = (
    "simple",
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionConfig:
    """How a collection stores and indexes its chunks.

    Attributes:
        dimensions: Length of every embedding; ``None`` takes it from the embedder.
        distance: What "near" means. Cosine does not accept zero vectors, which an HNSW index never finds.
        storage: ``vector`` (4 bytes a dimension) or ``halfvec`` (2 bytes), up to 4,000 dimensions.
        tenancy: ``single`` holds one owner's rows. ``multi`` holds many tenants' rows, kept apart by the database;
            every call then needs a tenant, see ``Collection.for_tenant``.
        language: Whose stems and stop words keyword search goes by: a Snowball language ("english", "german" ...), or
            "simple" for none of both. Scripts without spaces (Chinese, Japanese, Thai ...) are searched by pairs of
            characters whatever the language.
        index: The kind of vector index: ``hnsw``; ``ivfflat``, which is built sooner, is smaller and finds less for the
            same time; or ``none``, which compares every row.
        quantization: What the index holds of each vector: ``None`` as it is stored (as halfvec above 2,000 dimensions,
            which is all that pgvector can index), ``halfvec`` 2 bytes a dimension, ``binary`` 1 bit, for vectors of 512
            dimensions and more. Candidates are compared again by the stored vectors. See docs/indexes.md.
        ivfflat_lists: Lists of IVFFlat (1 to 32,768); ``None`` takes what suits the rows when the index is built.
        hnsw_m: Links per node of the HNSW graph (pgvector's ``m``, 2 to 100).
        hnsw_ef_construction: Candidates while building (pgvector's ``ef_construction``, 4 to 1,000, at least 2m).
            With pgvector's 64, a graph of 100,000 rows keeps some of them out of reach: recall stays below .99 however
            far it is walked.
    """

    dimensions: int | None = None
    distance: Distance = "cosine"
    storage: Storage = "vector"
    tenancy: Tenancy = "single"
    language: str = "english"
    index: IndexMethod = "hnsw"
    quantization: Quantization | None = None
    ivfflat_lists: int | None = None
    hnsw_m: int = 16
    hnsw_ef_construction: int = 128

    def __post_init__(self) -> None:
        _check_one("distance", self.distance, ("cosine", "l2", "inner_product"))
        _check_one("storage", self.storage, ("vector", "halfvec"))
        _check_one("tenancy", self.tenancy, ("single", "multi"))
        _check_one("language", self.language, LANGUAGES)
        most = MAX_DIMENSIONS
        if self.dimensions is not None and not (type(self.dimensions) is int and 1 <= self.dimensions <= most):
            raise ConfigError(f"dimensions={self.dimensions!r}: use a whole number from 1 to {most}")
        _check_one("index", self.index, ("hnsw", "ivfflat", "none"))
        _check_one("quantization", self.quantization, ("halfvec", "binary", None))
        lists = self.ivfflat_lists
        if lists is not None and not (type(lists) is int and 1 <= lists <= _MAX_LISTS):
            raise ConfigError(f"ivfflat_lists={lists!r}: use 1 to 32,768, or None to take what suits the rows")
        if not (type(self.hnsw_m) is int and 2 <= self.hnsw_m <= 100):
            raise ConfigError(f"hnsw_m={self.hnsw_m!r}: use 2 to 100")
        least, ef = max(4, 2 * self.hnsw_m), self.hnsw_ef_construction
        if not (type(ef) is int and least <= ef <= 1000):
            raise ConfigError(f"hnsw_ef_construction={ef!r}: use {least} (2 * hnsw_m, at least 4) to 1,000")

    @property
    def index_holds(self) -> Literal["vector", "halfvec", "bit"]:
        """What the vector index stores of each vector."""
        if self.quantization == "binary":
            return "bit"
        if self.quantization == "halfvec" or (self.dimensions or 0) > _MAX_VECTOR_DIMENSIONS:
            return "halfvec"
        return self.storage


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How one search runs.

    Attributes:
        mode: ``dense`` compares embeddings, ``keyword`` ranks by BM25, ``hybrid`` does both and fuses their scores;
            ``None`` is hybrid for a question and dense for a vector.
        exact: ``True`` compares every row, ``False`` uses the vector index where there is one, ``None`` lets the
            planner choose.
        ef_search: Candidates that the HNSW walk keeps (pgvector's ``hnsw.ef_search``, 1 to 1,000); ``None`` lets the
            planner choose. An index that is compared again gives so many candidates.
        probes: Lists that an IVFFlat index looks through (pgvector's ``ivfflat.probes``); ``None`` lets the planner
            choose.
        k1: BM25: how slowly a word's repetition in a chunk stops to count (0 to 10).
        b: BM25: how much the length of a chunk counts against it (0 to 1).
        fusion: How hybrid search makes one ranking of two: ``convex`` adds normalised scores, ``rrf`` reciprocal ranks.
        alpha: The share of the vectors in the convex combination, 0 (words alone) to 1; ``None`` takes the collection's
            (``set_alpha``), else what the question's own scores say.
        candidates: How many chunks each arm of a hybrid search fetches, at least ``k``; ``None``: 100.
        embed_timeout: Seconds to wait for the vector of a question before searching by words instead; ``None`` waits
            0.75 s for an embedder somewhere else, and as long as it takes for a model in this process.
        fallback: False raises EmbeddingError where a question gets no vector, however long that takes, instead of
            searching by its words.
    """

    mode: Mode | None = None
    exact: bool | None = None
    ef_search: int | None = None
    k1: float = 1.2
    b: float = 0.75
    probes: int | None = None
    fusion: Literal["convex", "rrf"] = "convex"
    alpha: float | None = None
    candidates: int | None = None
    embed_timeout: float | None = None
    fallback: bool = True

    def __post_init__(self) -> None:
        _check_one("mode", self.mode, ("dense", "keyword", "hybrid", None))
        for name, most in (("k1", 10.0), ("b", 1.0)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0.0 <= value <= most:
                raise ConfigError(f"{name}={value!r}: use 0 to {most:g}")
        if self.exact is not None and type(self.exact) is not bool:
            raise ConfigError(f"exact={self.exact!r}: use True, False or None")
        if self.ef_search is not None and not (type(self.ef_search) is int and 1 <= self.ef_search <= 1000):
            raise ConfigError(f"ef_search={self.ef_search!r}: use 1 to 1,000")
        if self.probes is not None and not (type(self.probes) is int and 1 <= self.probes <= _MAX_LISTS):
            raise ConfigError(f"probes={self.probes!r}: use 1 to 32,768")
        _check_one("fusion", self.fusion, ("convex", "rrf"))
        check_alpha(self.alpha)
        if self.candidates is not None and not (type(self.candidates) is int and 1 <= self.candidates <= 10_000):
            raise ConfigError(f"candidates={self.candidates!r}: use 1 to 10,000")
        if type(self.fallback) is not bool:
            raise ConfigError(f"fallback={self.fallback!r}: use True or False")
        patience = self.embed_timeout
        if patience is not None and not (type(patience) in (int, float) and 0 < patience < float("inf")):
            raise ConfigError(f"embed_timeout={patience!r}: use seconds above 0")


def _check_one(name: str, value: object, choices: tuple[str | None, ...]) -> None:
    # Not "in" alone: an array compares with each choice to an array, which is neither true nor false.
    if not (value is None or isinstance(value, str)) or value not in choices:
        *most, last = (str(each) if each is None else repr(each) for each in choices)
        raise ConfigError(f"{name}={value!r:.80}: use {', '.join(most)} or {last}")


def check_alpha(alpha: object) -> None:
    """Raises ConfigError for what is no share of the vectors."""
    if alpha is not None and not (isinstance(alpha, (int, float)) and type(alpha) is not bool and 0 <= alpha <= 1):
        raise ConfigError(f"alpha={alpha!r}: use 0 (words alone) to 1 (vectors alone), or None")
