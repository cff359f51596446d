"""Where settings come from, which source wins, and that no error or repr shows a secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from rag_pgvector.errors import ConfigError
from rag_pgvector.settings import Settings, load_settings

SECRET = "hunter2-very-secret"
URL = f"postgresql://me:{SECRET}@db:5432/app"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, and an environment without any setting."""
    for field in (*Settings.model_fields, "embedding_model_name", "rag_config"):
        monkeypatch.delenv(field.upper(), raising=False)
        monkeypatch.delenv(f"{field.upper()}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.rag_top_k, settings.conf_threshold) == (3, 0.6)
    others = settings.model_dump(exclude={"rag_top_k", "conf_threshold"})
    assert set(others.values()) == {None}


def test_arguments_beat_environment_beats_file_beats_yaml(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "rag.yaml").write_text("rag_top_k: 5\n")
    assert load_settings().rag_top_k == 5
    (folder / "k").write_text(" 6\n")
    monkeypatch.setenv("RAG_TOP_K_FILE", str(folder / "k"))
    assert load_settings().rag_top_k == 6
    monkeypatch.delenv("RAG_TOP_K_FILE")
    monkeypatch.setenv("RAG_TOP_K", "7")
    assert load_settings().rag_top_k == 7
    assert Settings(rag_top_k=8).rag_top_k == 8


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, folder: Path, empty: str) -> None:
    (folder / "rag.yaml").write_text("rag_top_k: 5\n")
    monkeypatch.setenv("RAG_TOP_K", empty)
    monkeypatch.setenv("RAG_TOP_K_FILE", empty)
    monkeypatch.setenv("RAG_CONFIG", empty)
    monkeypatch.setenv("DATABASE_URL", empty)
    assert load_settings().rag_top_k == 5
    assert load_settings().database_url is None


def test_two_names_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDING_MODEL_NAME", "second")
    assert load_settings().embedding_model == "second"
    monkeypatch.setenv("EMBEDDING_MODEL", "first")
    assert load_settings().embedding_model == "first"


def test_a_variable_and_its_file_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DATABASE_URL_FILE", "/nowhere")
    with pytest.raises(ConfigError, match="DATABASE_URL and DATABASE_URL_FILE are both set"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe\xff", "not UTF-8")],
)
def test_a_file_that_gives_no_value(
    monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (folder / "url").write_bytes(content)
    monkeypatch.setenv("DATABASE_URL_FILE", str(folder / "url"))
    with pytest.raises(ConfigError, match=f"^DATABASE_URL_FILE='.*url'.*{reason}"):
        load_settings()


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "key").write_text(SECRET + "\n")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(folder / "key"))
    settings = Settings(database_url=URL, admin_database_url=SecretStr(URL))
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == URL
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == SECRET
    for shown in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in shown
    with pytest.raises(ConfigError) as caught:
        Settings(database_url=[URL], admin_database_url={"url": URL})
    assert str(caught.value) == (
        "database_url: use postgresql://user:password@host:5432/name; "
        "admin_database_url: use postgresql://user:password@host:5432/name"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "value", "use"),
    [
        ("RAG_TOP_K", "many", "a whole number from 1"),
        ("RAG_TOP_K", "0", "a whole number from 1"),
        ("RAG_TOP_K", "2.5", "a whole number from 1"),
        ("CONF_THRESHOLD", "1.01", "a number from 0 to 1"),
        ("CONF_THRESHOLD", "-0.1", "a number from 0 to 1"),
        ("TARGET_RISK", "0", "a share between 0 and 1"),
        ("TARGET_RISK", "1", "a share between 0 and 1"),
        ("CONF_THRESHOLD", "nan", "a number from 0 to 1"),
        ("EMBEDDING_DIMENSIONS", "0", "a whole number from 1"),
        ("EMBEDDING_DAILY_QUOTA", "-1", "a whole number from 0"),
    ],
)
def test_a_bad_value_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str, use: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value) == f"{name}={value!r}: use {use}"


def test_a_bad_value_names_its_file_or_yaml(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "rag.yaml").write_text("rag_top_k: lots")
    with pytest.raises(ConfigError, match=r"^rag\.yaml, rag_top_k='lots': use"):
        load_settings()
    (folder / "k").write_text("more")
    monkeypatch.setenv("RAG_TOP_K_FILE", str(folder / "k"))
    with pytest.raises(ConfigError, match=r"^RAG_TOP_K_FILE='more': use"):
        load_settings()
    with pytest.raises(ConfigError, match=r"^rag_top_k='most': use"):
        Settings(rag_top_k="most")


def test_unknown_arguments_and_keys_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^unknown setting 'rag_topk'; did you mean 'rag_top_k'\?"):
        Settings(rag_topk=3)
    (folder / "rag.yaml").write_text("DATABASE_URLS: x")
    with pytest.raises(ConfigError, match=r"^rag\.yaml: unknown setting 'DATABASE_URLS'; did you mean 'database_url'"):
        load_settings()
    (folder / "rag.yaml").write_text("5: x")
    with pytest.raises(ConfigError, match="unknown setting '5'; there are database_url"):
        load_settings()


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.rag_top_k = 4  # type: ignore[misc]


def test_settings_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for k in (4, 5):
        monkeypatch.setenv("RAG_TOP_K", str(k))
        assert load_settings().rag_top_k == k


# ----------------------------------------------------------------------------------------------------------- rag.yaml


def test_variables_in_yaml(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("DB_PASSWORD", "a: b # ${c}")  # YAML and ${} in a value stay what they are
    monkeypatch.setenv("BLANK", "")
    (folder / "rag.yaml").write_text(
        "database_url: postgresql://me:${DB_PASSWORD}@${DB_HOST:-localhost}/app\n"
        "rag_top_k: ${NO_SUCH_K:-9}\n"
        "embedding_model: $${literal} $5 ${BLANK:-models/a}\n"
        "embedding_provider: ${BLANK}\n"
        "openai_api_key: ${NO_SUCH_KEY:-}\n"
        "embedding_dimensions:\n"
    )
    settings = load_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://me:a: b # ${c}@localhost/app"
    assert settings.rag_top_k == 9
    assert settings.embedding_model == "${literal} $5 models/a"
    assert settings.embedding_provider is None
    assert settings.openai_api_key is None
    assert settings.embedding_dimensions is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rag_top_k: ${NO_SUCH_K}", r"rag\.yaml, rag_top_k: the variable NO_SUCH_K is not set"),
        ("openai_api_key: x${", "without a name"),
        ("openai_api_key: ${1A}", "without a name"),
        ("openai_api_key: ${A", "without a name"),
        ("rag_top_k: yes", "rag_top_k: use a whole number from 1"),
        ("conf_threshold: [0.5]", "conf_threshold: use a number from 0 to 1"),
        ("conf_threshold: .nan", "conf_threshold=nan: use a number from 0 to 1"),
        (f"database_url: {{{SECRET}: 1}}", "database_url: use postgresql://"),
        ("openai_api_key: 12345678", "openai_api_key: use a text; in a YAML file, put it in quotes"),
        ("embedding_model: 2024", "embedding_model=2024: use the name or folder of a model, in quotes"),
        (f"openai_api_key: *{SECRET}", "line 1, column 17: not valid YAML"),
        (f"openai_api_key: '{SECRET}", "not valid YAML"),
        (f"openai_api_key: !!python/object/apply:os.getenv [{SECRET}]", "not valid YAML"),
        (f"- {SECRET}", "one setting per line"),
        (SECRET, "one setting per line"),
        ("rag_top_k: \x00", "not valid YAML"),
    ],
)
def test_bad_yaml_is_explained_without_its_text(folder: Path, text: str, message: str) -> None:
    (folder / "rag.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_yaml_file_sets_nothing(folder: Path, text: str) -> None:
    (folder / "rag.yaml").write_text(text)
    assert load_settings() == Settings()


def test_rag_config_names_another_file(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "rag.yaml").write_text("rag_top_k: 5")
    (folder / "other.yaml").write_text("conf_threshold: 0.5")
    monkeypatch.setenv("RAG_CONFIG", "other.yaml")
    assert (load_settings().rag_top_k, load_settings().conf_threshold) == (3, 0.5)
    monkeypatch.setenv("RAG_CONFIG", "absent.yaml")
    with pytest.raises(ConfigError, match=r"^RAG_CONFIG='absent\.yaml': cannot be read: No such file"):
        load_settings()
    monkeypatch.delenv("RAG_CONFIG")
    (folder / "rag.yaml").unlink()
    (folder / "rag.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"^rag\.yaml: cannot be read: Is a directory"):
        load_settings()


def test_an_uncaught_error_prints_no_secret(folder: Path) -> None:
    (folder / "rag.yaml").write_text(f"database_url: {{{SECRET}: 1}}\nrag_top_k: x\n")
    code = f"from rag_pgvector.settings import Settings; Settings(openai_api_key=[{SECRET!r}])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "ConfigError" in done.stderr
    assert SECRET not in done.stderr.replace(code, "")
