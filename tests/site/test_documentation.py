"""The README says what is true: variables, commands, kinds and paths."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from mistudio_site.env import VARIABLES
from workers.engine.specs.kinds import SPECS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
TABLE = [
    line for line in README.splitlines() if line.startswith("| ") and "`apps/" in line and "Django app" not in line
]


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_every_variable_stands_in_the_table_with_its_default_and_meaning(variable):
    default = f"`{variable.default}`" if variable.default else "–"
    assert f"| `{variable.name}` | {default} | {variable.help} |" in README


@pytest.mark.parametrize("kind", SPECS)
def test_every_job_kind_has_a_row(kind):
    assert sum(f"(`{kind}`)" in line for line in TABLE) == 1


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.split("|")[1].strip())
def test_every_row_names_pages_commands_endpoints_and_folders_that_exist(line):
    _, _, app, engine, page, commands, endpoint, _, _ = [cell.strip() for cell in line.split("|")]
    for folder in re.findall(r"`([\w/.]+)`", app):
        assert (ROOT / folder).exists(), folder
    for place in re.findall(r"`([\w/.]+)`", engine):
        assert (ROOT / "workers" / place).exists() or (ROOT / place).exists(), place
    for url in re.findall(r"`(/[^`]*)`", page):
        assert resolve(url.replace("<id>", "1"))
    for command in re.findall(r"`(\w+)`", commands):
        assert command in get_commands(), command
    for method, path in re.findall(r"`(GET|POST) ([^`]+)`", endpoint):
        assert method
        resolve(f"/api/v1/{path}".replace("{id}", "1"))


def test_a_path_that_does_not_exist_would_be_noticed():
    with pytest.raises(Resolver404):
        resolve("/api/v1/nothing")
