"""A store of golden sets: versions that never change, tags that move, on a local folder or any fsspec URL.

A version is a manifest: the names and SHA-256 of its files. It is called by the SHA-256 of the manifest itself, so that
the same files are the same version wherever they are added, and nothing can change under a name.

    objects/SHA256              a file's bytes
    manifests/SHA256.json       {"format": 1, "name": ..., "files": [{"path", "sha256", "bytes"}], "questions": N}
    sets/NAME/versions/SHA256   when it was added, and a note
    sets/NAME/tags/TAG          the SHA-256 of a version
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from rag_pgvector.errors import ConfigError, LoadError, MissingDependencyError

__all__ = ["GoldenStore", "Version", "is_reference"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_REFERENCE = re.compile(rf"({_NAME.pattern})(?::({_NAME.pattern})|@([0-9a-f]{{6,64}}))?")
_SHA = re.compile(r"[0-9a-f]{64}")
LATEST = "latest"


def is_reference(text: str) -> bool:
    """Whether this can be NAME, NAME:TAG or NAME@SHA."""
    return _REFERENCE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a golden set.

    Attributes:
        sha256: Of the manifest: what it is called.
        files: ``(path, sha256, bytes)`` of each, sorted by path.
        questions: How many there are.
        tags: Those that point here, sorted.
        added_at: When it was first added, ISO 8601 in UTC.
        note: What was said about it.
    """

    name: str
    sha256: str
    files: tuple[tuple[str, str, int], ...]
    questions: int
    tags: tuple[str, ...]
    added_at: str
    note: str


class GoldenStore:
    """See the module. ``root`` is a path inside ``filesystem`` (an fsspec file system)."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._files = filesystem
        self._root = root.rstrip("/")

    @classmethod
    def open(cls, place: str | None = None) -> GoldenStore:
        """The store at a folder or URL; ``None``: RAG_GOLDEN_STORE, else ``./golden``. Nothing is made yet."""
        try:
            import fsspec
        except ImportError:
            raise MissingDependencyError("fsspec", "evals") from None
        place = place or os.environ.get("RAG_GOLDEN_STORE") or "golden"
        try:
            filesystem, root = fsspec.core.url_to_fs(place)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"golden store {place!r:.80}: {error}") from None
        return cls(filesystem, root)

    # --------------------------------------------------------------------------------------------------------- writing

    def add(self, path: Path, name: str, *, tag: str | None = None, note: str = "") -> Version:
        """Store a golden set (a file, or a BEIR folder) as a version; ``latest`` and ``tag`` point to it afterwards.

        The same files again are the same version. Raises LoadError for a set that cannot be read, ConfigError.
        """
        for what, text in (("name", name), ("tag", tag)):
            _check(what, text)
        questions = _count(path)
        files = []
        for inner, file in _members(path):
            content = file.read_bytes()
            sha = hashlib.sha256(content).hexdigest()
            self._put(f"objects/{sha}", content)
            files.append({"path": inner, "sha256": sha, "bytes": len(content)})
        manifest = {"format": 1, "name": name, "files": files, "questions": questions}
        content = (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
        sha = hashlib.sha256(content).hexdigest()
        self._put(f"manifests/{sha}.json", content)
        about = {"added_at": datetime.now(timezone.utc).isoformat(timespec="seconds"), "note": note}
        self._put(f"sets/{name}/versions/{sha}", json.dumps(about, ensure_ascii=False).encode())
        for each in (LATEST, tag):
            if each is not None:
                self._put(f"sets/{name}/tags/{each}", sha.encode(), replace=True)
        return self.show(f"{name}@{sha}")

    def tag(self, reference: str, tag: str) -> Version:
        """Point a tag at a version; it may have pointed elsewhere. Raises ConfigError, LoadError."""
        _check("tag", tag)
        version = self.show(reference)
        self._put(f"sets/{version.name}/tags/{tag}", version.sha256.encode(), replace=True)
        return self.show(f"{version.name}@{version.sha256}")

    # --------------------------------------------------------------------------------------------------------- reading

    def versions(self) -> list[Version]:
        """Every version of every set, by name, the newest first."""
        found = []
        for name in self._names("sets"):
            versions = [self.show(f"{name}@{sha}") for sha in self._names(f"sets/{name}/versions")]
            found += sorted(versions, key=lambda each: (each.added_at, each.sha256), reverse=True)
        return found

    def show(self, reference: str) -> Version:
        """The version that NAME (its latest), NAME:TAG or NAME@SHA (or some digits of it) names. Raises LoadError."""
        parts = _REFERENCE.fullmatch(reference)
        if parts is None:
            raise ConfigError(f"{reference!r:.80} names no golden set: use NAME, NAME:TAG or NAME@SHA")
        name, tag, start = parts.groups()
        versions = self._names(f"sets/{name}/versions")
        if not versions:
            known = ", ".join(self._names("sets")) or "nothing"
            raise LoadError(self._root, f"no golden set {name!r}: the store has {known}")
        tags = {
            each: self._get(f"sets/{name}/tags/{each}").decode().strip() for each in self._names(f"sets/{name}/tags")
        }
        if start is not None:
            matching = [each for each in versions if each.startswith(start)]
            if len(matching) != 1:
                raise LoadError(self._root, f"{name!r} has {len(matching)} versions that begin with {start!r}")
            sha = matching[0]
        elif (tag or LATEST) in tags:
            sha = tags[tag or LATEST]
        else:
            raise LoadError(self._root, f"golden set {name!r} has no tag {tag!r}: it has {', '.join(sorted(tags))}")
        manifest, about = self._manifest(sha), json.loads(self._get(f"sets/{name}/versions/{sha}"))
        return Version(
            name=name,
            sha256=sha,
            files=tuple((each["path"], each["sha256"], each["bytes"]) for each in manifest["files"]),
            questions=manifest["questions"],
            tags=tuple(sorted(each for each, target in tags.items() if target == sha)),
            added_at=about["added_at"],
            note=about["note"],
        )

    def verify(self, reference: str | None = None) -> list[str]:
        """What is wrong with a version, or with all of them: missing and changed files. [] if nothing is."""
        problems = []
        for version in [self.show(reference)] if reference is not None else self.versions():
            for path, sha, size in version.files:
                try:
                    content = self._get(f"objects/{sha}")
                except LoadError as error:
                    problems.append(f"{version.name}@{version.sha256[:12]} {path}: {error.reason}")
                    continue
                if hashlib.sha256(content).hexdigest() != sha or len(content) != size:
                    problems.append(f"{version.name}@{version.sha256[:12]} {path}: the bytes have changed")
        return problems

    def local(self, reference: str) -> Path:
        """A local copy of a version, a file or a folder, its bytes checked. Raises LoadError."""
        import platformdirs

        version = self.show(reference)
        home = Path(platformdirs.user_cache_dir("rag_pgvector")) / "golden" / version.sha256
        for path, sha, _ in version.files:
            target = home / version.name / path
            if not (target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == sha):
                content = self._get(f"objects/{sha}")
                if hashlib.sha256(content).hexdigest() != sha:
                    raise LoadError(self._root, f"{path} of {reference} has changed: run 'rag-pgvector golden verify'")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        only = version.files[0][0] if len(version.files) == 1 else None
        return home / version.name / only if only is not None else home / version.name

    # ----------------------------------------------------------------------------------------------------------- files

    def _manifest(self, sha: str) -> dict[str, Any]:
        if _SHA.fullmatch(sha) is None:
            raise LoadError(self._root, f"{sha!r:.80} is no version: a tag was damaged")
        content = self._get(f"manifests/{sha}.json")
        if hashlib.sha256(content).hexdigest() != sha:
            raise LoadError(self._root, f"the manifest {sha[:12]} has changed: restore it from a backup")
        manifest: dict[str, Any] = json.loads(content)
        for each in manifest["files"]:
            inner = PurePosixPath(each["path"])
            if inner.is_absolute() or ".." in inner.parts:
                raise LoadError(self._root, f"the manifest {sha[:12]} leads outside: {each['path']!r:.80}")
        return manifest

    def _put(self, key: str, content: bytes, *, replace: bool = False) -> None:
        target = f"{self._root}/{key}"
        if not replace and self._files.exists(target):
            return
        self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
        if "file" in (self._files.protocol if isinstance(self._files.protocol, tuple) else (self._files.protocol,)):
            partial = f"{target}.{uuid.uuid4().hex}.part"  # a reader never sees half a file
            self._files.pipe_file(partial, content)
            os.replace(partial, target)
        else:
            self._files.pipe_file(target, content)

    def _get(self, key: str) -> bytes:
        try:
            return bytes(self._files.cat_file(f"{self._root}/{key}"))
        except FileNotFoundError:
            raise LoadError(self._root, f"{key} is missing") from None

    def _names(self, key: str) -> list[str]:
        try:
            found = self._files.ls(f"{self._root}/{key}", detail=False)
        except FileNotFoundError:
            return []
        names = (str(each).rstrip("/").rpartition("/")[2] for each in found)
        return sorted(name for name in names if not name.endswith(".part"))


def _check(what: str, text: str | None) -> None:
    if text is not None and _NAME.fullmatch(text) is None:
        raise ConfigError(f"{what} {text!r:.80}: use 1 to 63 letters, digits, '.', '_' and '-'")


def _members(path: Path) -> Iterator[tuple[str, Path]]:
    """The files of a set with their names inside it, sorted."""
    if path.is_file():
        yield path.name, path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
            yield file.relative_to(path).as_posix(), file


def _count(path: Path) -> int:
    """How many questions a set has. Raises LoadError where it cannot be read."""
    from rag_pgvector.evals.formats import read_beir
    from rag_pgvector.evals.question_formats import read_questions

    if path.is_dir() and list(path.glob("qrels*")):
        return len(read_beir(path).queries)
    if not path.exists():
        raise LoadError(str(path), "no such file or folder")
    return len(read_questions(path).questions)
