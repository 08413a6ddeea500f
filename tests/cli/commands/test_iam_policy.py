"""`rehouse iam-policy`: warns of policies that would cover the shared bucket."""

from __future__ import annotations

import json
import sys

import pytest

from rehouse.cli.main import main


def test_policies_that_cover_the_shared_bucket_bring_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REHOUSE_BUCKET_PREFIX", "ours")
    for shared, warned in (("ours-documents", True), ("documents", False)):
        monkeypatch.setenv("REHOUSE_SHARED_BUCKET", shared)
        assert main(["iam-policy"]) == 0
        said = capsys.readouterr()
        assert json.loads(said.out)
        assert (f"Warning: the shared bucket {shared} begins" in said.err) is warned


def test_sentences_are_wrapped_between_words_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REHOUSE_BUCKET_PREFIX", "ours")
    monkeypatch.setenv("REHOUSE_SHARED_BUCKET", "ours-documents")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    assert main(["iam-policy"]) == 0
    whole = capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["iam-policy"]) == 0
    wrapped = capsys.readouterr().err
    assert max(map(len, whole.splitlines())) > 80
    assert max(map(len, wrapped.splitlines())) <= 80
    assert wrapped.split() == whole.split()
