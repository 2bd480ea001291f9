import os
from pathlib import Path
from typing import Any

import pytest

from mlp_lightning.errors import SettingError
from mlp_lightning.runs import find_checkpoint, find_run, make_run, write_config


def make(root: Path, run: str, *checkpoints: str, config: bool = True) -> Path:
    folder = root / "lightning_logs" / run
    (folder / "checkpoints").mkdir(parents=True)
    for name in checkpoints:
        (folder / "checkpoints" / name).touch()
    if config:
        (folder / "config.yaml").touch()
    return folder


def test_the_newest_run_is_the_highest_number(tmp_path: Path) -> None:
    make(tmp_path, "version_9", "best.ckpt", "last.ckpt")
    newest = make(tmp_path, "version_10", "best.ckpt", "last.ckpt")
    make(tmp_path, "version_10-backup", "best.ckpt")
    best, last = (
        newest / "checkpoints" / "best.ckpt",
        newest / "checkpoints" / "last.ckpt",
    )
    assert find_checkpoint(None, str(tmp_path)) == (newest, best)
    assert find_checkpoint("best", str(tmp_path)) == (newest, best)
    assert find_checkpoint("last", str(tmp_path)) == (newest, last)
    assert find_run("last", str(tmp_path)) == (newest, last)


def test_the_last_checkpoint_serves_where_there_is_no_best(tmp_path: Path) -> None:
    run = make(tmp_path, "version_0", "last.ckpt")
    assert find_checkpoint(None, str(tmp_path)) == (
        run,
        run / "checkpoints" / "last.ckpt",
    )


def test_only_to_fit_a_run_needs_no_checkpoint(tmp_path: Path) -> None:
    run = make(tmp_path, "version_0", "best.ckpt")
    empty = make(tmp_path, "version_1")
    make(tmp_path, "version_2", config=False)
    assert find_checkpoint(None, str(tmp_path)) == (
        run,
        run / "checkpoints" / "best.ckpt",
    )
    assert find_run("last", str(tmp_path)) == (empty, None)
    assert find_run(str(run), str(tmp_path)) == (run, None)  # its best is not its last


def test_a_file_or_the_folder_of_a_run_can_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "version_1", "best.ckpt")
    run = make(tmp_path, "version_0", "best.ckpt", "last.ckpt")
    best, last = run / "checkpoints" / "best.ckpt", run / "checkpoints" / "last.ckpt"
    for find in (find_run, find_checkpoint):
        assert find(str(best), str(tmp_path)) == (run, best)
    assert find_checkpoint(str(run), str(tmp_path)) == (run, best)
    assert find_run(str(run), str(tmp_path)) == (run, last)
    monkeypatch.chdir(run / "checkpoints")
    assert find_checkpoint("best.ckpt", "") == (run, Path("best.ckpt"))
    (run / "config.yaml").unlink()
    assert find_checkpoint(str(last), "") == (None, last)


@pytest.mark.parametrize("find", [find_run, find_checkpoint])
@pytest.mark.parametrize("given", ["last", "nothing", "file"])
def test_none(
    given: str, find: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "version_0", config=False)
    Path("folder").mkdir()
    with pytest.raises(SettingError, match=r"^--ckpt_path: no .*: run fit first$"):
        find(given, "")


def test_a_new_run_appears_with_its_config(tmp_path: Path) -> None:
    make(tmp_path, "version_7")
    first = make_run("a: 1\n", str(tmp_path))
    assert first.name == "version_8"
    assert (first / "config.yaml").read_text() == "a: 1\n"
    write_config("a: 2\n", first)
    assert os.listdir(first) == ["config.yaml"]
    assert (first / "config.yaml").read_text() == "a: 2\n"
    assert {path.name for path in first.parent.iterdir()} == {"version_7", "version_8"}


def test_a_number_taken_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        make(tmp_path, f"version_{number}")
    monkeypatch.setattr(
        "mlp_lightning.runs.list_runs", lambda root: []
    )  # seen before the others
    assert make_run("", str(tmp_path)).name == "version_3"
