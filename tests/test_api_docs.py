"""docs/api.md: its recipes run as they stand, its Python prints what it says, its table of errors is the service's."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.client.service.problems import BY_CODE
from processor.faces.problems import KINDS
from tests.served import served

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "api.md").read_text("utf-8")
PREFACE, *RECIPES = re.split(r"^## (?=\d+\. )", TEXT.split("\n## What holds")[0], flags=re.MULTILINE)
README = (ROOT / "README.md").read_text("utf-8").split("\n## Sessions over HTTP")[1].split("\n## ")[0]
RECIPES.append("README\n" + README.split("In another terminal")[1])


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of a terminal in which the recipes are typed: a service runs, and an error of curl's counts."""
    home = tmp_path_factory.mktemp("home")
    (home / ".curlrc").write_text("fail-with-body\nshow-error\n")
    with served(tmp_path_factory.mktemp("store")) as service:
        yield {**os.environ, "CURL_HOME": str(home), "A3CP_URL": service.url, "PYTHONPATH": str(ROOT)}


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.splitlines()[0])
def test_a_recipe_with_curl(recipe: str, environ: dict[str, str], tmp_path: Path) -> None:
    """Every command of it succeeds."""
    (preface,), (commands,) = blocks(PREFACE, "sh"), blocks(recipe, "sh")
    script = re.sub(r"^export A3CP_URL=.*\n", "", f"set -eo pipefail\n{preface}\n{commands}", flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.splitlines()[0])
def test_a_recipe_with_python(recipe: str, environ: dict[str, str], tmp_path: Path) -> None:
    """It prints what the comments behind its prints say."""
    (program,) = blocks(recipe, "python")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"print\(.*\)  # (.*)$", program, re.MULTILINE)


def test_the_table_of_errors() -> None:
    """It has each code with its status, its class and what to do about it."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| `(\w+)` \| (.*) \|$", TEXT, re.MULTILINE)
    assert rows == [
        (code, str(kind.status), BY_CODE[code].__name__ if code in BY_CODE else "ServiceError", kind.meaning)
        for code, kind in KINDS.items()
    ]
