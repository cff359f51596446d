"""Databases for the adapters' tests."""

from tests.integration.conftest import app_login, app_url, tenant_db

__all__ = ["app_login", "app_url", "tenant_db"]
