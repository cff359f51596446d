"""The verbs of the embedded Postgres: server start, status, stop, url."""

from __future__ import annotations
