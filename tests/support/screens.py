"""Capture what the commands print in a terminal of 80 and of 120 columns, on the sample data room: docs/screens.

`scripts/screens` writes the captures, and a test compares them with what is committed. The commands run one after the other, so
that each finds what the one before has left. Everything that differs between two runs is masked.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte
from tests.support.data_room import Room
from tests.support.isolation_room import grant, role_of_tenants

FOLDER = Path(__file__).parents[2] / "docs" / "screens"
WIDTHS = (80, 120)
_ROWS = 600
"""More lines than any command prints: nothing scrolls away."""
_MARGIN = 400
"""The emulated screen is wider than the terminal that a command sees, so that a line that is too long shows."""
_SECONDS = 180
_TYPED_AFTER = re.compile(r"(Type .* to go on|to confirm).*:\s*$")


@dataclass(frozen=True)
class Screen:
    """A command line; what is typed when it asks; `is_data`: it prints JSON or SQL, which is not made for a width.

    `before`: what happens in the room before it.
    """

    name: str
    arguments: str
    typed: str | None = None
    is_data: bool = False
    before: Callable[[Room], None] | None = None


def open_a_bucket(room: Room) -> None:
    """Take away what protects the bucket of umbrella."""
    [(bucket,)] = room.rows("SELECT aws_bucket_name FROM tenants WHERE slug = 'umbrella'")
    root = room.server.root()
    root.delete_public_access_block(Bucket=bucket)
    root.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def let_isolate(room: Room) -> None:
    """Make a role of which each tenant gets credentials, and let the command assume it."""
    room.more["REHOUSE_ROLE_ARN"] = role = role_of_tenants(room)
    documents = json.loads(room.run("iam-policy", "--role", "application").stdout)
    grant(room, role, documents)
    room.credentials = room.server.user(f"{room.shared}-isolation", documents)


DOCUMENT = "{document}"
"""Stands for the id of a document of acme-corp that could not be moved."""
STORY = (
    Screen("help", "--help"),
    Screen("help-exit-codes", "help exit-codes"),
    Screen("help-settings", "help settings"),
    Screen("help-words", "help words"),
    Screen("help-of-a-command", "migrate-all --help"),
    Screen("config", "config"),
    Screen("iam-policy", "iam-policy --role finish", is_data=True),
    Screen("doctor", "doctor"),
    Screen("doctor-verbose", "doctor --verbose 2>/dev/null"),
    Screen("init", "init"),
    Screen("rules", "rules"),
    Screen("status-before", "status"),
    Screen("plan", "plan"),
    Screen("plan-of-a-tenant", "plan acme-corp"),
    Screen("refused-unknown-tenant", "migrate acme"),
    Screen("refused-unknown-option", "migrate acme-corp --untl verified"),
    Screen("migrate-until-verified", "migrate umbrella --until verified"),
    Screen("cutover", "cutover umbrella --canary 5"),
    Screen("migrate", "migrate acme-corp"),
    Screen("migrate-all", "migrate-all"),
    Screen("migrate-all-again", "migrate-all"),
    Screen("status", "status"),
    Screen("status-of-a-tenant", "status acme-corp"),
    Screen("status-errors", "status --errors"),
    Screen("accept", f"accept acme-corp {DOCUMENT} --reason 'lost in 2023, the customer knows'"),
    Screen("verify", "verify acme-corp"),
    Screen("verify-deep", "verify globex --deep"),
    Screen("verify-all", "verify-all"),
    Screen("audit", "audit"),
    Screen("audit-findings", "audit", before=open_a_bucket),
    Screen("audit-fix-dry-run", "audit umbrella --fix --dry-run"),
    Screen("audit-fix", "audit umbrella --fix"),
    Screen("rollback-dry-run", "rollback globex --dry-run"),
    Screen("rollback", "rollback globex"),
    Screen("rollback-too-early", "rollback globex --drop-bucket"),
    Screen("finish-dry-run", "finish --all --after 0 --dry-run"),
    Screen("finish-not-confirmed", "finish umbrella --after 0", typed="no"),
    Screen("finish", "finish umbrella --after 0", typed="umbrella"),
    Screen("cleanup", "cleanup"),
    Screen("cleanup-refused", "cleanup --drop-bucket {shared}"),
    Screen("uninstall-dry-run", "uninstall --dry-run"),
    Screen("status-after", "status"),
    Screen("isolation-dry-run", "isolation --dry-run", before=let_isolate),
    Screen("isolation", "isolation"),
)
_MASKS = (
    (r"\b[0-9a-f]{64}\b", "0" * 64),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b", "00000000-0000-4000-0000-000000000000"),
    (r"(?<=-)[0-9a-f]{8}(?=[^0-9A-Za-z-]|$)", "xxxxxxxx"),
    (r"(?<=…)[0-9a-f]{3,8}(?=\s|$)", lambda found: "x" * len(found[0])),
    (r"\b\d+ buckets?(?=, up to)", "… buckets"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", lambda found: re.sub(r"\d", "0", found[0])),
    (r"(?<=127\.0\.0\.1:)\d+", "…"),
    (r"\bworld_\d+", "world_…"),
    (r"\brehouse-\d+(?=\W)", "rehouse-…"),
    (r"\b\d+(\.\d+)? (s|ms)\b", "… s"),
    (r"\b\d:\d\d:\d\d\b", "0:00:00"),
)


def capture(room: Room, columns: int) -> Iterator[tuple[Screen, str]]:
    """Run the whole story in a room; yield each screen, with what the command left on its terminal."""
    document = None
    for screen in STORY:
        if DOCUMENT in screen.arguments and document is None:
            document = _document(room)
        if screen.before:
            screen.before(room)
        names = {"document": document, "shared": room.shared}
        typed = screen.typed and screen.typed.format(**names)
        yield screen, show(room, screen.arguments.format(**names), columns, typed)


def show(room: Room, arguments: str, columns: int, typed: str | None = None) -> str:
    """Run a command in a terminal of so many columns, and return what stands there at its end: the prompt, then its lines."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = room.environment() | {"PATH": path, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        ["bash", "-c", f"exec rehouse {arguments}"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd="/",
    )
    os.close(theirs)
    terminal = pyte.Screen(_MARGIN, _ROWS)
    stream = pyte.Stream(terminal)
    deadline = time.monotonic() + _SECONDS
    with os.fdopen(ours, "r+b", buffering=0) as opened:
        for written in _read(opened, deadline):
            stream.feed(written)
            if typed and _TYPED_AFTER.search(_text(terminal)):
                opened.write(f"{typed}\n".encode())
                typed = None
    status = process.wait(timeout=60)
    assert typed is None, f"{arguments} asked nothing:\n{_text(terminal)}"
    ended = "" if status == 0 else f"\n[exit status {status}]"
    return f"$ rehouse {arguments}\n{_text(terminal)}{ended}\n"


def _read(opened: object, deadline: float) -> Iterator[str]:
    """Yield what a command writes until it ends."""
    descriptor = opened.fileno()  # type: ignore[attr-defined]
    pending = b""
    while True:
        assert select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0], "it hangs"
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # how Linux tells that nobody holds the other end any more
            part = b""
        if not part:
            return
        pending += part
        whole = pending.decode("utf-8", errors="ignore")
        pending = pending[len(whole.encode()) :]
        yield whole


def _text(terminal: pyte.Screen) -> str:
    return "\n".join(line.rstrip() for line in terminal.display).rstrip()


def _document(room: Room) -> str:
    found = room.rows(
        "SELECT document_id::text FROM s3_migration_documents d JOIN tenants t ON t.id = d.tenant_id"
        " WHERE t.slug = 'acme-corp' AND d.state = 'quarantined' ORDER BY 1 LIMIT 1"
    )
    return str(found[0][0])


def mask(text: str) -> str:
    """Replace what differs between two runs: random names, times, ports, durations."""
    for pattern, instead in _MASKS:
        text = re.sub(pattern, instead, text)
    return text


def words(text: str) -> list[str]:
    """Return the words of a screen: where its lines end depends on the length of what is masked."""
    return re.sub(r"─+|━+", "─", text).split()


def file_of(screen: Screen, columns: int, folder: Path = FOLDER) -> Path:
    """Return the file of a capture."""
    return folder / str(columns) / f"{STORY.index(screen) + 1:02}-{screen.name}.txt"


def too_wide(text: str, columns: int) -> Sequence[str]:
    """Return the lines that a terminal of so many columns would wrap.

    The prompt, which a shell shows, is none of them, nor is a command to copy, which must not be broken.
    """
    return [line for line in text.splitlines()[1:] if len(line) > columns and not line.startswith("Next: ")]


def broken_words(narrow: str, wide: str) -> set[str]:
    """Return the words of a screen that the wider one lacks, but for those that were shortened, which say so."""
    return {word for word in set(words(narrow)) - set(words(wide)) if "…" not in word}
