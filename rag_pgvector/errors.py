"""The errors of rag_pgvector. Every message says what was wrong, which value, and what to do.

RagPgvectorError
├── ConfigError (ValueError)              a setting or an argument that cannot work
├── FilterError (ValueError)              a metadata filter that is malformed or of the wrong type
├── ChunkError (ValueError)               a chunk that cannot be stored: NUL byte, long id, metadata that is not JSON
├── TenantError (ValueError)              no tenant was given, or one that cannot be
├── AccessDeniedError (PermissionError)   an API key that is not valid, or lacks a permission
├── VectorError (ValueError)              a vector that cannot be stored or searched for: NaN, infinity, all zeros
│   └── DimensionError                    ... or of the wrong length
├── MissingDependencyError (ImportError)  an extra that is not installed; names it
├── CollectionNotFoundError (LookupError)
├── CollectionMismatchError (ValueError)  a collection exists with another configuration
│   └── EmbedderMismatchError             ... or was embedded by another model
├── EmbeddingError (RuntimeError)         the embedder failed or returned nonsense
├── LoadError (ValueError)                a source that cannot be read; has .source and .where
├── ServerError (RuntimeError)            the embedded Postgres could not be started, found or stopped
└── DatabaseError (RuntimeError)          what Postgres or the connection said; has .sqlstate
    ├── ConnectionFailedError (ConnectionError)
    ├── SchemaError                       rag_pgvector's tables are missing, older or newer than this version
    ├── ExtensionError                    the extension vector is missing or too old
    ├── IsolationError                    the database role could see every tenant's rows
    └── PermissionDeniedError (PermissionError)
"""

from __future__ import annotations

__all__ = [
    "AccessDeniedError",
    "ChunkError",
    "CollectionMismatchError",
    "CollectionNotFoundError",
    "ConfigError",
    "ConnectionFailedError",
    "DatabaseError",
    "DimensionError",
    "EmbedderMismatchError",
    "EmbeddingError",
    "ExtensionError",
    "FilterError",
    "IsolationError",
    "LoadError",
    "MissingDependencyError",
    "PermissionDeniedError",
    "RagPgvectorError",
    "SchemaError",
    "ServerError",
    "TenantError",
    "VectorError",
]


class RagPgvectorError(Exception):
    """The base of every error that rag_pgvector raises on purpose."""


class ConfigError(RagPgvectorError, ValueError):
    """A setting or an argument that cannot work."""


class FilterError(RagPgvectorError, ValueError):
    """A metadata filter that is malformed or of the wrong type. A bad filter never means "no filter"."""


class ChunkError(RagPgvectorError, ValueError):
    """A chunk that cannot be stored."""


class TenantError(RagPgvectorError, ValueError):
    """A multi-tenant collection was used without a tenant, or with a name that no tenant can have.

    No tenant never means all tenants.
    """


class AccessDeniedError(RagPgvectorError, PermissionError):
    """An API key that is not valid, or that lacks a permission."""


class VectorError(RagPgvectorError, ValueError):
    """A vector that can neither be stored nor searched for."""


class DimensionError(VectorError):
    """A vector whose length is not the collection's."""


class MissingDependencyError(RagPgvectorError, ImportError):
    """An optional package that is not installed. The message names the extra to install."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Install it with: pip install 'rag-pgvector[{extra}]'")
        self._given = package, extra

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, str]]:
        """Errors are told from one process to another."""
        return type(self), self._given


class CollectionNotFoundError(RagPgvectorError, LookupError):
    """No collection of that name."""


class CollectionMismatchError(RagPgvectorError, ValueError):
    """A collection exists with a configuration that differs from the one asked for."""


class EmbedderMismatchError(CollectionMismatchError):
    """The collection was embedded by another model than the one given now."""


class EmbeddingError(RagPgvectorError, RuntimeError):
    """The embedder failed, or returned something that is not one finite vector per text."""


class LoadError(RagPgvectorError, ValueError):
    """A source (file, row, page) that cannot be read.

    Attributes: ``source`` is the file, ``where`` the place inside it ("line 3", "page 2") or "".
    """

    def __init__(self, source: str, reason: str, where: str = "") -> None:
        super().__init__(f"{source}{', ' + where if where else ''}: {reason}")
        self.source = source
        self.where = where
        self.reason = reason

    def __reduce__(self) -> tuple[type[LoadError], tuple[str, str, str]]:
        """Errors are told from one process to another."""
        return type(self), (self.source, self.reason, self.where)


class ServerError(RagPgvectorError, RuntimeError):
    """The embedded Postgres could not be started, found or stopped."""


class DatabaseError(RagPgvectorError, RuntimeError):
    """What Postgres or the connection said. ``sqlstate`` is its five-character code, or None for a lost connection."""

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class ConnectionFailedError(DatabaseError, ConnectionError):
    """No connection: nothing listens there, the password is wrong, or the connection broke."""


class SchemaError(DatabaseError):
    """rag_pgvector's own tables are missing, or of another version than this package."""


class ExtensionError(DatabaseError):
    """The extension ``vector`` is missing or older than 0.8."""


class IsolationError(DatabaseError):
    """The database role is not held by the row-level security that keeps tenants apart."""


class PermissionDeniedError(DatabaseError, PermissionError):
    """The database role may not do that."""
