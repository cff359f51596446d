"""The project's settings, from the strongest source to the weakest:

1. arguments of ``Settings``;
2. the environment: ``RAG_TOP_K=5``;
3. files named by the environment, for secrets: ``DATABASE_URL_FILE=/run/secrets/url``. A variable and its file together
   are an error, since one of them must be stale;
4. ``rag.yaml`` in the working folder, or the file named by RAG_CONFIG: ``rag_top_k: 5``. In its texts ``${NAME}`` is
   the variable, ``${NAME:-default}`` has a default for an unset or empty one, ``$${`` is a plain ``${``.

A variable that is empty counts as unset. EMBEDDING_MODEL_NAME is another name of EMBEDDING_MODEL, which wins.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rag_pgvector.errors import ConfigError

__all__ = ["Settings", "from_environment", "load_settings"]

_URL = "postgresql://user:password@host:5432/name"


class Settings(BaseSettings):
    """Everything that the environment decides. Frozen; neither ``repr`` nor an error shows a secret.

    Raises ConfigError naming the setting, its value unless it is secret, where it came from, and what to do.
    """

    # The descriptions finish the sentence "use ..." of an error.
    database_url: SecretStr | None = Field(None, description=_URL)
    admin_database_url: SecretStr | None = Field(None, description=_URL)
    embedding_provider: str | None = Field(None, description="'local'")
    embedding_model: str | None = Field(None, description="the name or folder of a model, in quotes")
    embedding_dimensions: int | None = Field(None, ge=1, description="a whole number from 1")
    #: Nothing is counted in this version, whose only provider is free.
    embedding_daily_quota: int | None = Field(None, ge=0, description="a whole number from 0")
    rag_top_k: int = Field(3, ge=1, description="a whole number from 1")
    conf_threshold: float = Field(0.6, ge=0, le=1, description="a number from 0 to 1")
    #: Largest share of wrong answers from prose; in place of conf_threshold, and only with a calibration.
    target_risk: float | None = Field(None, gt=0, lt=1, description="a share between 0 and 1")
    openai_api_key: SecretStr | None = Field(None, description="a text; in a YAML file, put it in quotes")
    voyage_api_key: SecretStr | None = Field(None, description="a text; in a YAML file, put it in quotes")
    deepinfra_api_key: SecretStr | None = Field(None, description="a text; in a YAML file, put it in quotes")

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # None: pydantic's error holds the values, secrets too.
            raise ConfigError(_explain(error, values)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls), _YamlFile(settings_cls)


def load_settings() -> Settings:
    """The settings as the environment and rag.yaml are now. Raises ConfigError."""
    return Settings()


class _Source(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self.read())

    def read(self) -> Mapping[str, Any]:
        raise NotImplementedError


class _Environment(_Source):
    def read(self) -> Mapping[str, str]:
        found = {}
        for field in self.settings_cls.model_fields:
            for name in _variables(field):
                if (value := from_environment(name)) is not None:
                    found[field] = value
                    break
        return found


class _YamlFile(_Source):
    def read(self) -> Mapping[str, Any]:
        return _read_yaml()


def _variables(field: str) -> tuple[str, ...]:
    return ("EMBEDDING_MODEL", "EMBEDDING_MODEL_NAME") if field == "embedding_model" else (field.upper(),)


def from_environment(name: str) -> str | None:
    """The value of a variable, or what stands in the file of ``NAME_FILE``; raises ConfigError where both are set."""
    value, file = _variable(name), _variable(f"{name}_FILE")
    if file is None:
        return value
    if value is not None:
        raise ConfigError(f"{name} and {name}_FILE are both set: unset one of them")
    content = _read_text(file, f"{name}_FILE={file!r}").strip()
    if not content:
        raise ConfigError(f"{name}_FILE={file!r}: the file is empty; write the value into it, or unset {name}_FILE")
    return content


def _variable(name: str) -> str | None:
    value = os.environ.get(name, "")
    return value if value.strip() else None


def _read_text(file: str, what: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{what}: cannot be read: {reason}") from None


# ------------------------------------------------------------------------------------------------------------ rag.yaml


def _read_yaml() -> dict[str, Any]:
    """The settings of rag.yaml or of RAG_CONFIG's file, variables put in, empty ones left out."""
    named = _variable("RAG_CONFIG")
    file = named or "rag.yaml"
    if named is None and not Path(file).exists():
        return {}
    text = _read_text(file, f"RAG_CONFIG={file!r}" if named else file)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # Its own message may quote the text, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{file}{where}: not valid YAML; put texts with special characters in quotes") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: write one setting per line, such as rag_top_k: 3")
    found = {}
    for key, value in content.items():
        if key not in Settings.model_fields:
            raise ConfigError(f"{file}: {_unknown(key)}")
        if isinstance(value, str):
            value = _substitute(value, f"{file}, {key}")
        elif value is not None and type(value) not in (int, float):  # bool would pass for a number
            raise ConfigError(f"{file}, {key}: use {Settings.model_fields[key].description}")
        if value is not None and value != "":
            found[key] = value
    return found


#: ``$${``, ``${NAME}``, ``${NAME:-default}``, or a ``${`` that is none of them.
_REFERENCE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?:(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\})?", re.ASCII)


def _substitute(text: str, where: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match["escaped"]
        name = match["name"]
        if name is None:
            raise ConfigError(f"{where}: '${{' without a name and '}}'; use ${{NAME}}, or $${{ for a plain ${{")
        found = os.environ.get(name, "")
        if match["default"] is not None:
            return found or match["default"]
        if name not in os.environ:
            raise ConfigError(f"{where}: the variable {name} is not set; set it, or write ${{{name}:-default}}")
        return found

    return _REFERENCE.sub(value, text)


# -------------------------------------------------------------------------------------------------------------- errors


def _explain(error: ValidationError, given: Mapping[str, Any]) -> str:
    """The first error of each setting, secrets left out."""
    lines = []
    for details in error.errors(include_url=False, include_context=False):
        field = str(details["loc"][0]) if details["loc"] else ""
        known = Settings.model_fields.get(field)
        if known is None:
            lines.append(_unknown(field))
            continue
        shown = "" if SecretStr in get_args(known.annotation) else f"={details['input']!r:.80}"
        lines.append(f"{_origin(field, given)}{shown}: use {known.description}")
    return "; ".join(dict.fromkeys(lines))


def _origin(field: str, given: Mapping[str, Any]) -> str:
    """What the value of a setting is called where it was found."""
    if field in given:
        return field
    for name in _variables(field):
        for variable in (name, f"{name}_FILE"):
            if _variable(variable) is not None:
                return variable
    return f"{_variable('RAG_CONFIG') or 'rag.yaml'}, {field}"


def _unknown(key: Any) -> str:
    near = difflib.get_close_matches(str(key).lower(), list(Settings.model_fields), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(Settings.model_fields)}"
    return f"unknown setting {str(key)!r:.80}; {hint}"
