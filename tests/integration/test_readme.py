"""The program of README's first screen prints what README says it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_programs_print_their_output(database_url: str) -> None:
    """One after the other in one process: those of the frameworks go on with the first one's collection."""
    programs = blocks("python")
    assert len([line for line in programs[0].splitlines() if line.strip()]) <= 20
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(programs)],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(blocks("text"))


def test_the_verbs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in ("README.md", "CONTRIBUTING.md", "docs/results.md", "docs/design.md", "docs/tenants.md"):
        for verb in re.findall(
            r"(?:^    |`)make ([a-z-]+)", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert re.search(rf"^{verb}:", makefile, re.MULTILINE), f"{document} names make {verb}"
