"""Draw docs/demo.svg: the last screen of a real `rehouse demo` in a terminal of 80 columns and 24 lines.

`scripts/picture [FILE]` runs it. It prints what the demo printed, and writes no picture of a demo that failed.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from rehouse.cli.closing_screen import RULE

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "demo.svg"
COLUMNS, LINES = 80, 24
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
_CELL_WIDTH = 12.2
"""The width of a character in Rich's pictures."""
_VOLATILE = (
    (r"(?<=Demo done in )\d+", "…"),
    (r"(?<=^Cost  )(.*)", lambda found: re.sub(r"\d[\d,.]*", "…", found[0])),
    (r"\S*(?<=[\s/])rehouse(?= )", "rehouse"),
)


def run_in_terminal(command: Sequence[str]) -> tuple[int, str]:
    """Run a command in a terminal of its own; return its exit status and everything that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT)
    os.close(theirs)
    written = io.BytesIO()
    try:
        while part := os.read(ours, 65536):
            written.write(part)
    except OSError:  # how Linux tells that nobody holds the other end any more
        pass
    finally:
        os.close(ours)
    return process.wait(), written.getvalue().decode()


def last_screen(written: str) -> str:
    """Return what was written from the last rule on, colours included."""
    lines = written.replace("\r\n", "\n").split("\n")
    first = max(number for number, line in enumerate(lines) if RULE in line)
    return "\n".join(lines[first:]).rstrip()


def draw(screen: str) -> str:
    """Return the screen as SVG, which names no font of another host."""
    recorded = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    recorded.print(Text.from_ansi(screen), soft_wrap=True)
    form = re.sub(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = re.sub(r"font-family: [^;]+;", f"font-family: {FONTS};", form)
    return recorded.export_svg(title="scripts/demo", code_format=form, unique_id="demo")


def text_of(picture: str) -> str:
    """Return the text that a picture shows, line by line."""
    lines: dict[int, str] = {}
    for each in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text"):
        number = re.search(r"line-(\d+)\)", each.get("clip-path", ""))
        if number:  # the title has none
            line = lines.get(int(number[1]), "").ljust(round(float(each.get("x", "0")) / _CELL_WIDTH))
            lines[int(number[1])] = line + (each.text or "").replace("\xa0", " ")
    return "\n".join(lines.get(number, "").rstrip() for number in range(max(lines) + 1)).rstrip()


def plain(screen: str) -> str:
    """Return the text of a screen without its colours."""
    return "\n".join(line.rstrip() for line in Text.from_ansi(screen).plain.splitlines())


def mask(text: str) -> str:
    """Replace what differs between two runs and two machines: seconds, requests, the path of the command."""
    for pattern, instead in _VOLATILE:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text


def main(arguments: Sequence[str]) -> int:
    """Run the demo and draw its last screen into the file; return the demo's exit status."""
    status, written = run_in_terminal([sys.executable, "-m", "rehouse", "demo"])
    print(written)
    if status == 0:
        (Path(arguments[0]) if arguments else PICTURE).write_text(draw(last_screen(written)), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
