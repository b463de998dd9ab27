import re
import sys

import pytest

from neufield.tools.progress import Progress

UPDATE = (30, 4.0, 0.25, {"color": 0.0125}, {"rays": 8e3, "samples": 6e6})


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]):
    progress = Progress(quiet=True)
    progress.say("a note")
    with progress:
        progress.update(*UPDATE)
        progress.stage(0.5, "matching")
    assert capsys.readouterr() == ("", "")


def test_a_line_of_a_log(capsys: pytest.CaptureFixture[str]):
    with Progress() as progress:
        progress.say("a note [with brackets]")
        progress.update(*UPDATE)
    note, line = capsys.readouterr().out.splitlines()
    assert note == "a note [with brackets]"
    assert line == " 25 %  step 30  color 0.01250  2k rays/s  1.50M samples/s  0:12 left"


def test_lines_of_a_log_are_rare(capsys: pytest.CaptureFixture[str]):
    with Progress() as progress:
        for step in range(50):
            progress.update(step, float(step), step / 50, {}, {"rays": 100.0 * step})
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_stages_of_a_log(capsys: pytest.CaptureFixture[str]):
    with Progress() as progress:
        for share in range(50):
            progress.stage(0.25 + share / 100, "matching")
    assert capsys.readouterr().out == " 25 %  matching\n"


def test_rates_are_those_since_the_last_update(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("neufield.tools.progress._PLAIN_EVERY_SECONDS", -1.0)
    with Progress() as progress:
        progress.update(1, 10.0, 0.1, {}, {"rays": 1000.0})
        progress.update(2, 12.0, 0.2, {}, {"rays": 1100.0})
    assert "50 rays/s" in capsys.readouterr().out.splitlines()[1]


def test_on_a_terminal_notes_stand_above_the_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    with Progress() as progress:
        progress.update(*UPDATE)
        progress.say("frames [0, 3] of photos/[red]/a.png: " + 60 * "x")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().out)
    assert "frames [0, 3] of photos/[red]/a.png: " + 60 * "x" in text


def test_on_a_terminal_stages_are_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with Progress() as progress:
        progress.stage(0.4, "matching")
        progress.say("a note")
    assert "40 %  matching" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().out)
