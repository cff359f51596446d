"""The control tables as SQLAlchemy models: what Alembic compares the migrations with, and what a DBA may read."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    false,
    func,
)
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from rag_pgvector.table import SCHEMA

__all__ = [
    "ApiKeyRow",
    "Base",
    "CalibrationRow",
    "CollectionRow",
    "DocumentRow",
    "EvalRunRow",
    "IngestFailureRow",
    "IngestRunRow",
    "SearchCostsRow",
]


class Base(DeclarativeBase):
    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_name)s_key",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "ix": "%(table_name)s_%(column_0_name)s_idx",
        },
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: DateTime(timezone=True),
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
    }


class CollectionRow(Base):
    """One collection: its table, its configuration and the embedder that fills it."""

    __tablename__ = "collections"
    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    table_name: Mapped[str] = mapped_column(unique=True)
    dimensions: Mapped[int] = mapped_column(Integer)
    distance: Mapped[str]
    storage: Mapped[str]
    tenancy: Mapped[str]
    hnsw_m: Mapped[int] = mapped_column(SmallInteger)
    hnsw_ef_construction: Mapped[int] = mapped_column(SmallInteger)
    index_method: Mapped[str] = mapped_column(server_default="hnsw")
    quantization: Mapped[str | None]
    ivfflat_lists: Mapped[int | None] = mapped_column(Integer)
    index_build_at: Mapped[datetime | None]
    """When somebody began to build the vector index; NULL where nobody does."""
    embedder: Mapped[str | None]
    """Name of the model that embeds this collection; None until the first text is embedded."""
    fingerprint: Mapped[list[float] | None] = mapped_column(ARRAY(REAL))
    """The vector that this model gives to a fixed probe text."""
    index_wanted: Mapped[bool] = mapped_column(server_default=false())
    """A vector index was asked for by a role that may not create one."""
    language: Mapped[str] = mapped_column(server_default="english")
    """Of the texts: whose stems and stop words keyword search goes by."""
    analyser_version: Mapped[int] = mapped_column(SmallInteger, server_default=sql_text("1"))
    """Of the analyser that made the keyword index; another one makes it anew."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    """What a program says about the collection as a whole."""
    alpha: Mapped[float | None] = mapped_column(REAL)
    """The share of the vectors in hybrid search; None lets each question's scores say."""


class DocumentRow(Base):
    """The stored text of one source; the chunks' character spans refer to it."""

    __tablename__ = "documents"
    collection_id: Mapped[int] = mapped_column(ForeignKey(CollectionRow.id, ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    """"" in a single-tenant collection."""
    scope: Mapped[str] = mapped_column(primary_key=True, server_default="")
    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    text: Mapped[str]
    loader: Mapped[str]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=sql_text("'{}'::jsonb"))
    profile: Mapped[dict[str, Any] | None]
    content_hash: Mapped[bytes]
    chunks: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class IngestRunRow(Base):
    """One call of ``ingest``: what it was to do, and what it did (``runs.IngestRun``)."""

    __tablename__ = "ingest_runs"
    collection_id: Mapped[int] = mapped_column(ForeignKey(CollectionRow.id, ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True, server_default="")
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    state: Mapped[str] = mapped_column(server_default="running")
    mode: Mapped[str]
    model: Mapped[str | None]
    options: Mapped[dict[str, Any]]
    source_hash: Mapped[bytes | None]
    loaders: Mapped[dict[str, Any]] = mapped_column(server_default=sql_text("'{}'::jsonb"))
    counts: Mapped[dict[str, Any]] = mapped_column(server_default=sql_text("'{}'::jsonb"))
    error: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class EvalRunRow(Base):
    """What an evaluation measured (``evals.history``); without a collection, one that was dropped afterwards."""

    __tablename__ = "eval_runs"
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True, server_default="")
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    collection_id: Mapped[int | None] = mapped_column(ForeignKey(CollectionRow.id, ondelete="CASCADE"))
    kind: Mapped[str]
    dataset: Mapped[str]
    golden_sha256: Mapped[str]
    label: Mapped[str] = mapped_column(server_default="")
    run: Mapped[dict[str, Any]]
    verdict: Mapped[str | None]
    reasons: Mapped[list[str]] = mapped_column(JSONB, server_default=sql_text("'[]'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class IngestFailureRow(Base):
    """A file, or a row of one, that the last run that read it could not take in."""

    __tablename__ = "ingest_failures"
    collection_id: Mapped[int] = mapped_column(ForeignKey(CollectionRow.id, ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True, server_default="")
    key: Mapped[bytes] = mapped_column(primary_key=True)
    """The hash of source and place."""
    file: Mapped[str]
    path: Mapped[str | None]
    """Where to read the file again."""
    source: Mapped[str]
    place: Mapped[str]
    reason: Mapped[str]
    options: Mapped[dict[str, Any]]
    failed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class CalibrationRow(Base):
    """How sure a tenant's answers of one mode may be (``answer.confidence.Calibration``)."""

    __tablename__ = "calibrations"
    collection_id: Mapped[int] = mapped_column(ForeignKey(CollectionRow.id, ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True, server_default="")
    mode: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiKeyRow(Base):
    """A key that stands for a tenant, perhaps one scope of it, and some permissions. Only its hash is stored."""

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    tenant_id: Mapped[str]
    scope: Mapped[str] = mapped_column(server_default="")
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SearchCostsRow(Base):
    """What ``rag-pgvector tune`` measured of this machine, one row or none: ``planner.CostModel`` in microseconds."""

    __tablename__ = "search_costs"
    id: Mapped[int] = mapped_column(
        SmallInteger, CheckConstraint("id = 1", name="search_costs_id_check"), primary_key=True, server_default="1"
    )
    search_us: Mapped[float] = mapped_column(Double)
    row_us: Mapped[float] = mapped_column(Double)
    scattered_row_us: Mapped[float] = mapped_column(Double)
    distance_us: Mapped[float] = mapped_column(Double)
    candidate_us: Mapped[float] = mapped_column(Double)
    comparisons: Mapped[float] = mapped_column(Double)
    measured_at: Mapped[datetime] = mapped_column(server_default=func.now())
