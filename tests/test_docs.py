"""The documentation is true: options, settings, errors, links and the diagram are compared with the code; the tutorial is run."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple, get_args

import psycopg
import pytest
import typer
from tests.support.schema_objects import objects

from rehouse import config
from rehouse.cli.help import COMMON
from rehouse.cli.main import COMMANDS, app
from rehouse.config import Settings
from rehouse.core.bucket.documents import log_delivery_policy
from rehouse.core.copies import HINTS, Reason
from rehouse.core.errors import CODE_MEANINGS
from rehouse.core.exit_status import MEANINGS
from rehouse.core.isolation import Attack
from rehouse.core.isolation_evidence import (
    AttackFinding,
    Certification,
    Evidence,
    LeftOutTenant,
    PairAnswers,
    Principal,
)
from rehouse.core.lifecycle import MOVES, DocumentState, Phase, Status, diagram
from rehouse.core.lifecycle import Event as LifecycleEvent
from rehouse.core.permissions.policies import Scope, policy_documents
from rehouse.core.permissions.table import Role
from rehouse.core.removals import Verdict
from rehouse.core.tenant_state import MEANINGS as STATE_MEANINGS
from rehouse.core.tenant_state import TenantState
from rehouse.core.watching import EndedCommand, RunningCommand, TenantAtWork
from rehouse.core.words import WORDS
from rehouse.ledger.bucket_contents import Leftover
from rehouse.ledger.catalog import OWN_TABLES
from rehouse.ledger.copies import Outstanding
from rehouse.ledger.ledger import PastEvent
from rehouse.ledger.overview import Overview
from rehouse.ledger.schema.usage import TRIGGERS
from rehouse.operations import init as initialising
from rehouse.operations.audit import AuditReport
from rehouse.operations.buckets.drop import DropReport
from rehouse.operations.buckets.findings import AuditFinding
from rehouse.operations.checks.check import Check
from rehouse.operations.cleanup import CATEGORIES, BucketLeft, OlderVersions
from rehouse.operations.finish import FinishReport
from rehouse.operations.isolation import IsolationPlan, IsolationReport
from rehouse.operations.plan import Example, Orphan, Plan, QuarantinedDocument, TenantPlan, Totals
from rehouse.operations.plan import Problem as PlanProblem
from rehouse.operations.report import ReturnReport, TenantReport
from rehouse.operations.rules import Rules
from rehouse.operations.rules import rules as application_rules
from rehouse.operations.status import DocumentError, TenantStatus
from rehouse.operations.steps.removals import KeptSource
from rehouse.operations.uninstall import UninstallReport
from rehouse.operations.verify import Problem, VerifyReport
from rehouse.operations.watching import HistoryEvent
from rehouse.runtime.values import Swept
from rehouse.s3.faults import HINTS as STORAGE_HINTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
SECTIONS = ("Usage", "Options", "What it prints", "Exit status", "JSON", "What it changes")
COMMON_OPTIONS = {option for options in COMMON for option in re.findall(r"--?[a-z]+", options)}
REPORTS = {
    "doctor": (Check,),
    "plan": (Plan, Totals, PlanProblem, Example, TenantPlan, QuarantinedDocument, Orphan),
    "migrate": (TenantReport, Outstanding),
    "verify": (VerifyReport, Problem),
    "rules": (Rules,),
    "audit": (AuditReport, AuditFinding),
    "sweep": (Swept,),
    "isolation": (
        IsolationReport,
        IsolationPlan,
        Evidence,
        Certification,
        Principal,
        LeftOutTenant,
        PairAnswers,
        AttackFinding,
    ),
    "rollback": (ReturnReport, Outstanding, DropReport),
    "finish": (FinishReport, KeptSource),
    "uninstall": (UninstallReport,),
    "cleanup": (BucketLeft, Leftover, OlderVersions),
    "status": (Overview, TenantStatus, DocumentError, Outstanding, PastEvent),
}


def page(command: str) -> str:
    return (DOCS / "commands" / f"{command}.md").read_text(encoding="utf-8")


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table's lines, without headings and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = {index for index, line in enumerate(lines) if set(line) <= set("|-: ")}
    cells = [
        line.strip("|").split("|") for index, line in enumerate(lines) if index not in rules and index + 1 not in rules
    ]
    return [[cell.strip() for cell in line] for line in cells]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_s_page_has_the_one_form(command: str) -> None:
    text = page(command)
    assert text.startswith(f"# `rehouse {command}`\n")
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS
    assert len(text.splitlines()) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_s_page_has_its_options_and_no_others(command: str) -> None:
    group = typer.main.get_command(app)
    real = {name for each in group.commands[command].params for name in each.opts if name.startswith("--")}  # type: ignore[attr-defined]
    told = [line[0] for line in rows(section(page(command), "Options")) if line[0].startswith("`--")]
    assert sorted(told) == sorted(f"`{name}`" for name in real)


@pytest.mark.parametrize(("command", "report"), [(name, each) for name, reports in REPORTS.items() for each in reports])
def test_a_command_s_page_has_every_key_of_its_json(command: str, report: type) -> None:
    names = list(report._fields) if hasattr(report, "_fields") else [each.name for each in fields(report)]
    told = section(page(command), "JSON")
    assert [name for name in names if f"`{name}`" not in told] == []


def test_the_isolation_page_has_every_attack() -> None:
    told = section(page("isolation"), "What it prints")
    assert [attack for attack in Attack if f"`{attack}`" not in told] == []


def test_the_watching_page_has_every_key_of_its_lines() -> None:
    told = (DOCS / "watching.md").read_text(encoding="utf-8").partition("\n## JSON lines\n")[2]
    names = {each.name for line in (RunningCommand, TenantAtWork, EndedCommand, HistoryEvent) for each in fields(line)}
    assert [name for name in sorted(names) if f"`{name}`" not in told] == []


def test_the_readme_has_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"docs/commands/{name}.md" not in readme] == []


def test_the_readme_has_every_rule_of_the_application() -> None:
    told = section((ROOT / "README.md").read_text(encoding="utf-8"), "What the application must do")
    assert len(re.findall(r"^\d\. ", told, re.MULTILINE)) == len(application_rules(Settings()).rules) == 5
    assert "`rehouse rules`" in told


def test_the_words_are_those_of_the_help() -> None:
    told = section((DOCS / "lifecycle.md").read_text(encoding="utf-8"), "Words")
    found = re.findall(r"^- \*\*(.+?)\*\*: (.*)\.$", told, re.MULTILINE)
    assert {word: meaning.replace("`", "") for word, meaning in found} == WORDS


def test_the_states_of_a_tenant_are_those_of_the_help() -> None:
    told = rows(section((DOCS / "lifecycle.md").read_text(encoding="utf-8"), "The state of a tenant"))
    assert [(state, meaning.replace("`", "")) for state, meaning in told] == [
        (state.words, meaning) for state, meaning in STATE_MEANINGS.items()
    ]
    ways_out = rows((DOCS / "troubleshooting.md").read_text(encoding="utf-8").split("\n## ")[0])
    assert {state.words for state in TenantState} <= {state for state, _ in ways_out}


def test_the_exit_statuses_are_those_of_the_help() -> None:
    table = rows((DOCS / "troubleshooting.md").read_text(encoding="utf-8").split("\n## ")[0])
    told = {status: meaning.replace("`", "") for status, meaning in table if status.isdigit()}
    assert told == {str(int(status)): meaning for status, meaning in MEANINGS.items()}


def test_the_codes_of_errors_are_those_of_the_help() -> None:
    told = dict(rows(section((DOCS / "api.md").read_text(encoding="utf-8"), "Error codes")))
    assert told == {f"`{code}`": meaning for code, meaning in CODE_MEANINGS.items()}


def test_the_schemas_page_lists_every_schema() -> None:
    listed = re.findall(r"\]\(schemas/(.*)\.json\)", (DOCS / "schemas.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.stem for path in (DOCS / "schemas").glob("*.json"))


def test_the_diagram_is_the_table_s() -> None:
    text = (DOCS / "lifecycle.md").read_text(encoding="utf-8")
    assert [block.strip() for block in blocks(text, "mermaid")] == [diagram()]


def test_every_phase_event_state_and_status_is_explained() -> None:
    first = {
        name.strip()
        for line in rows((DOCS / "lifecycle.md").read_text(encoding="utf-8"))
        for name in line[0].split(",")
    }
    wanted = {
        *Phase,
        *DocumentState,
        *Status,
        *(state.words for state in TenantState),
        *(event for moves in MOVES.values() for event in moves),
    }
    assert wanted - first == set()
    assert first <= {*wanted, *LifecycleEvent}


def test_every_setting_is_documented_as_it_is() -> None:
    told = {line[0].strip("`"): (line[1], line[2]) for line in rows((DOCS / "settings.md").read_text(encoding="utf-8"))}
    real = {
        leaf: (", ".join(f"`{name}`" for name in config.variables(leaf)), shown or "none")
        for leaf, shown, _ in config.effective_settings(Settings())
    }
    assert told == real


def test_the_example_of_settings_loads(tmp_path: Path) -> None:
    [example] = blocks((DOCS / "settings.md").read_text(encoding="utf-8"), "toml")
    (tmp_path / config.FILE_NAME).write_text(example, encoding="utf-8")
    settings = config.load({}, tmp_path)
    assert settings.region == "eu-central-1"
    assert settings.lifecycle.noncurrent_days == 60
    assert settings.mapping.documents.tenant_id == "organisation_id"


def test_every_reason_and_every_code_has_a_way_out() -> None:
    told = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    assert [code for code in (*Reason, *HINTS, *STORAGE_HINTS) if f"`{code}`" not in told] == []


def test_the_docs_tell_why_sources_and_objects_stay() -> None:
    told = page("finish")
    assert [reason for reason in {*Verdict} - {Verdict.MAY_GO, Verdict.WAITING} if f"`{reason}`" not in told] == []
    assert {line[0].strip("`") for line in rows(section(page("cleanup"), "What it prints"))} == {*CATEGORIES}


def test_every_variable_that_is_named_is_a_setting() -> None:
    known = {name for leaf in config.leaves() for name in config.variables(leaf)} | {
        "REHOUSE_CONFIG",
        *config.NOTIFY_VARIABLES,
    }
    named = {name for each in PAGES for name in re.findall(r"\bREHOUSE_[A-Z_]+\b", each.read_text(encoding="utf-8"))}
    assert named - known == set()


def shown_commands(path: Path) -> Iterator[list[str]]:
    """The words of every command line of ours that a page shows."""
    text = path.read_text(encoding="utf-8")
    lines = "\n".join([*blocks(text, "console"), *blocks(text, "sh"), *re.findall(r"`(rehouse [^`]+)`", text)])
    for found in re.findall(r"\brehouse ([a-z][a-z-]*(?: (?!&&|\||#|>)\S+)*)", lines):
        yield found.split()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_line_could_be_run(path: Path) -> None:
    group = typer.main.get_command(app)
    for name, *words in shown_commands(path):
        assert name in COMMANDS
        known = {option for each in group.commands[name].params for option in each.opts} | COMMON_OPTIONS  # type: ignore[attr-defined]
        own = words[: words.index("--notify")] if "--notify" in words else words  # what follows is another command
        assert {word for word in own if word.startswith("-")} - known == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if anchor:
            assert anchor in {
                slug(title) for title in re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            }


def slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_decisions_have_each_a_number_and_are_listed() -> None:
    numbers = sorted(path.name[:4] for path in (DOCS / "decisions").glob("[0-9]*.md"))
    assert len(numbers) == len(set(numbers))
    listed = re.findall(r"\]\((\d{4})-", (DOCS / "decisions" / "README.md").read_text(encoding="utf-8"))
    assert listed == numbers


def test_what_dbas_are_told_removes_all_of_it(application_database: str) -> None:
    before = objects(application_database)
    initialising.initialise(Settings(database_url=application_database, shared_bucket=("shared",)))
    told = (DOCS / "for-dbas.md").read_text(encoding="utf-8")
    [_, _, usage, removal] = blocks(told, "sql")
    assert [name for name in OWN_TABLES if f"`{name}`" not in told] == []
    assert [trigger for trigger in TRIGGERS if trigger not in removal] == []
    with psycopg.connect(application_database, autocommit=True) as connection:
        connection.execute(usage)
        assert objects(application_database) > before
        connection.execute(removal)
    assert objects(application_database) == before


def test_the_queries_on_the_ledger_run_as_written(application_database: str) -> None:
    initialising.initialise(Settings(database_url=application_database, shared_bucket=("shared",)))
    pages = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("api", "evidence", "terraform")}
    of_the_ledger = [query for name in ("api", "evidence") for query in blocks(pages[name], "sql") if "s3_" in query]
    assert len(of_the_ledger) == 3
    [homes] = re.findall(r"<<'END'\n(.*?)END$", pages["terraform"], re.MULTILINE | re.DOTALL)
    with psycopg.connect(application_database) as connection:
        for query in (*of_the_ledger, homes):
            connection.execute(query.replace("'…'", "NULL"))
        for table, columns in re.findall(r"^\| `(\w+)` \| [^|]+ \| (`.*`) \|$", pages["api"], re.MULTILINE):
            connection.execute(f"SELECT {columns.replace('`', '')} FROM {table}")


def test_terraform_names_the_policies_and_statements_that_are() -> None:
    told = (DOCS / "terraform.md").read_text(encoding="utf-8")
    made = log_delivery_policy("company-access-logs", sources="", account="123456789012", region="us-east-1", tls=True)
    delivery = made["Statement"][0]
    assert re.findall(r'sid += "(\w+)"', told) == [each["Sid"] for each in made["Statement"]]
    assert f'"{delivery["Condition"]["ArnLike"]["aws:SourceArn"]}"' in told
    assert f'"{delivery["Principal"]["Service"]}"' in told
    known = policy_documents(get_args(Role), Scope(("shared",), "dataroom-saas"))
    assert set(re.findall(r'"(rehouse-[a-z-]+)"', told)) - set(known) == set()


class Example(NamedTuple):
    """A command of the tutorial, the exit status that it has to end with, and the lines that it has to print."""

    command: str
    status: int
    lines: list[str]


def examples() -> Iterator[Example]:
    pattern = r"(?:<!-- exit status: (\d+) -->\n)?```sh\n(.*?)```\n(?:\n```text\n(.*?)```\n)?"
    for status, command, output in re.findall(pattern, (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.DOTALL):
        yield Example(command, int(status or 0), [line for line in output.splitlines() if line.strip()])


def as_pattern(line: str) -> str:
    """Runs of blanks are alike, and `…` is anything."""
    return r".*?".join(r"\s+".join(map(re.escape, part.split())) for part in line.split("…"))


@pytest.fixture
def sandbox() -> Iterator[Path]:
    """A folder in which `rehouse sandbox --folder sandbox` runs, one that PostgreSQL's account can enter."""
    with tempfile.TemporaryDirectory(prefix="rehouse-tutorial-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        command = [sys.executable, "-m", "rehouse", "sandbox", "--folder", "sandbox"]
        command += ["--role", "rollback", "--role", "finish"]
        with (folder / "words").open("w") as words:
            process = subprocess.Popen(command, cwd=folder, env=clean(), stdout=words, stderr=words)
        try:
            until = time.monotonic() + 300
            while "rehouse migrate-all" not in (folder / "words").read_text(encoding="utf-8"):
                assert process.poll() is None and time.monotonic() < until, (folder / "words").read_text(
                    encoding="utf-8"
                )
                time.sleep(0.1)
            yield folder
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def clean() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "REHOUSE_", "PG", "DATABASE_"))
    }
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "AWS_EC2_METADATA_DISABLED": "true"}


def test_the_tutorial_runs_as_written(sandbox: Path) -> None:
    told = list(examples())
    assert len(told) >= 10
    for example in told:
        script = f"source sandbox/environment\n{example.command}"
        ran = subprocess.run(
            ["bash", "-c", script], cwd=sandbox, env=clean(), check=False, capture_output=True, text=True, timeout=400
        )
        subject = f"{shlex.quote(example.command)}\n{ran.stdout}\n{ran.stderr}"
        assert ran.returncode == example.status, subject
        missing = [line for line in example.lines if not re.search(as_pattern(line), ran.stdout)]
        assert missing == [], subject
