"""Tables and colours, on a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color, ColorSystem
from rich.color_triplet import ColorTriplet
from rich.console import Console
from tests.support.command_line import BARE, COMMAND

from rehouse.cli import output
from rehouse.cli.output import Attention, Failures
from rehouse.cli.progress import Bytes
from rehouse.core.tenant_state import TenantState


def on_a_terminal(**more: str) -> str:
    """What `rehouse config` writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [*COMMAND, "config"], stdout=theirs, env={**BARE, "TERM": "xterm", "COLUMNS": "80", **more}, cwd="/"
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        said += data
    os.close(ours)
    assert done.wait(30) == 0
    return said.decode()


def test_colours_are_for_terminals_and_no_color_turns_them_off() -> None:
    coloured, plain = on_a_terminal(), on_a_terminal(NO_COLOR="1")
    assert "\x1b[" in coloured
    assert "\x1b[3" not in plain
    assert "\x1b[9" not in plain
    assert all(len(line) <= 80 for line in plain.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines())
    piped = subprocess.run([*COMMAND, "config"], env=BARE, cwd="/", capture_output=True, text=True, check=True)
    assert "\x1b" not in piped.stdout + piped.stderr


def test_a_narrow_terminal_shortens_names_in_the_middle(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "console", lambda **_: Console(width=60, color_system=None))
    home, why = "dataroom-saas-acme-corp-b236ed77", "word " * 20
    rows = [("acme", "cut_over", 1320, "5 B", home, why), ("globex", "cut_over", 7, "544.4 KiB", "short", None)]
    output.table(("tenant", "phase", "migrated", "bytes", "bucket", "why"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "tenant  phase     migrated  bytes      bucket",
        "acme    cut_over     1,320  5 B        dataroom-saa…b236ed77",
        "  " + " ".join(["why:", *["word"] * 10]),
    ]
    assert lines[-1] == "globex  cut_over         7  544.4 KiB  short"
    assert max(map(len, lines)) <= 60


@given(st.lists(st.tuples(st.integers(1, 80), st.booleans()), min_size=1, max_size=10), st.integers(20, 140))
def test_columns_that_stand_in_a_line_fit_it(columns: list[tuple[int, bool]], width: int) -> None:
    widths, numeric = [room for room, _ in columns], [is_number for _, is_number in columns]
    fitting = output.fit_columns(widths, numeric, width)
    assert all(
        after == before if is_number else min(before, output.NARROWEST) <= after <= before
        for before, after, is_number in zip(widths, fitting, numeric, strict=True)
    )
    if (
        sum(min(room, output.NARROWEST) if not is_number else room for room, is_number in columns)
        + 2 * (len(columns) - 1)
        <= width
    ):
        assert sum(fitting) + 2 * (len(fitting) - 1) <= width


@given(st.text(min_size=1, max_size=60), st.integers(4, 60))
def test_a_shortened_text_has_both_ends(text: str, width: int) -> None:
    found = output.shorten(text, width)
    assert cell_len(found) <= max(width, 1)
    assert found == text or "…" in found


TENANTS = (
    (
        "acme",
        TenantState.NEEDS_ATTENTION,
        "cut_over",
        1320,
        Bytes(557_466),
        Attention(2),
        "dataroom-saas-acme-b236ed77",
    ),
    (
        "globex-of-the-north",
        TenantState.COMPLETED,
        "cut_over",
        7,
        Bytes(5),
        Attention(0),
        "dataroom-saas-globex-1f0c9a7e",
    ),
    ("umbrella", TenantState.FAILED, "copied", 0, Bytes(0), Failures(1), None),
)
HEADINGS = ("tenant", "state", "phase", "migrated", "bytes", "errors", "bucket")


def lines_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, color: str | None
) -> list[str]:
    """What a table of tenants prints on a terminal of this width."""
    monkeypatch.setattr(
        output,
        "console",
        lambda **_: Console(width=width, color_system=color, force_terminal=True),  # type: ignore[arg-type]
    )
    output.table(HEADINGS, TENANTS, spare=("bucket", "phase"))
    return capsys.readouterr().out.splitlines()


def test_a_narrow_terminal_gets_no_spare_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lines_of(capsys, monkeypatch, 70, None) == [
        "tenant               state            migrated      bytes  errors",
        "acme                 needs attention     1,320  544.4 KiB       2",
        "globex-of-the-north  completed               7        5 B       0",
        "umbrella             failed                  0        0 B       1",
    ]
    for width in range(62, 140):
        found = lines_of(capsys, monkeypatch, width, None)
        assert len(found) == 4
        assert max(map(cell_len, found)) <= width
    assert lines_of(capsys, monkeypatch, 140, None)[0].split() == [*HEADINGS]


def test_colours_say_what_the_words_say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    plain, coloured = lines_of(capsys, monkeypatch, 100, None), lines_of(capsys, monkeypatch, 100, "standard")
    assert [re.sub("\x1b\\[[0-9;]*m", "", line).rstrip() for line in coloured] == plain
    green, yellow, red = "\x1b[32m", "\x1b[33m", "\x1b[31m"
    assert [sorted(re.findall("\x1b\\[3[0-9]m", line)) for line in coloured[1:]] == [[yellow] * 2, [green], [red] * 2]


def contrast(one: ColorTriplet, other: ColorTriplet) -> float:
    """The contrast of two colours, from 1 to 21 (WCAG 2.2, "relative luminance")."""

    def luminance(color: ColorTriplet) -> float:
        parts = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized)
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("color", [output.GREEN, output.YELLOW, output.RED, output.BLUE])
def test_colours_can_be_read_on_light_and_on_dark(color: str) -> None:
    shown = Color.parse(color)
    light, dark = ColorTriplet(255, 255, 255), ColorTriplet(0, 0, 0)
    assert min(contrast(shown.get_truecolor(), ground) for ground in (light, dark)) > 3.8
    assert shown.get_ansi_codes()[:2] == ("38", "5"), "no terminal shows it as another colour"
    assert shown.downgrade(ColorSystem.STANDARD).number in {1, 2, 3, 6}, "none of the bright ones"


def test_a_column_that_is_to_be_whole_is_not_shortened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "console", lambda **_: Console(width=60, color_system=None))
    row = ("mapping.documents.original_name", "a-value-that-nobody-wants-to-read-as-a-whole", "default")
    output.table(("setting", "value", "from"), [row], whole=("setting",))
    assert capsys.readouterr().out.splitlines()[1] == "mapping.documents.original_name  a-value-tha…-whole  default"


def test_prose_wraps_at_words() -> None:
    assert output.wrap_line("  hint: run the same command again", 20) == ["  hint: run the same", "    command again"]
    assert output.wrap_line("short", 20) == ["short"]
    assert output.wrap_line("x" * 30, 20) == ["x" * 30], "no word is broken"


def test_wide_breaks_no_name(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "console", lambda **_: Console(width=60, color_system=None))
    monkeypatch.setattr(output, "style", output.Style(wide=True))
    home, why = "dataroom-saas-acme-corp-b236ed77", "word " * 20
    output.table(
        ("tenant", "phase", "migrated", "bytes", "bucket", "why"),
        [("acme", "cut_over", 1320, "5 B", home, why), ("globex", "cut_over", 7, "544.4 KiB", "short", None)],
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "tenant  phase     migrated  bytes      bucket",
        "acme    cut_over     1,320  5 B",
        f"  bucket: {home}, why: word word",
        "  " + " ".join(["word"] * 11),
    ]
    assert lines[-1] == "globex  cut_over         7  544.4 KiB  short"
    assert max(map(len, lines)) <= 60
    output.table(("slug",), [("x" * 70,)])
    assert "x" * 70 in capsys.readouterr().out


def test_a_meaning_is_wrapped_and_never_shortened(monkeypatch, capsys):
    monkeypatch.setattr(output, "WIDTH_OF_A_PIPE", 30)
    output.define(("word", "meaning"), {"sweep": "a later run that moves what arrived since", "home": "a bucket"})
    assert capsys.readouterr().out.splitlines() == [
        "word   meaning",
        "sweep  a later run that moves",
        "       what arrived since",
        "home   a bucket",
    ]
