from pathlib import Path

import pytest

from mlp_lightning.runs import find_checkpoint, run_of


def make(root: Path, run: str, *checkpoints: str) -> Path:
    folder = root / "lightning_logs" / run
    (folder / "checkpoints").mkdir(parents=True)
    for name in checkpoints:
        (folder / "checkpoints" / name).touch()
    return folder


def test_the_newest_run_is_the_highest_number(tmp_path: Path) -> None:
    make(tmp_path, "version_9", "best.ckpt", "last.ckpt")
    newest = make(tmp_path, "version_10", "best.ckpt", "last.ckpt")
    make(tmp_path, "version_10-backup", "best.ckpt")
    assert find_checkpoint(None, str(tmp_path)) == newest / "checkpoints" / "best.ckpt"


def test_the_last_checkpoint_serves_where_there_is_no_best(tmp_path: Path) -> None:
    run = make(tmp_path, "version_0", "last.ckpt")
    assert find_checkpoint(None, str(tmp_path)) == run / "checkpoints" / "last.ckpt"


def test_newer_runs_without_a_checkpoint_are_skipped_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path, "version_0", "best.ckpt")
    empty = make(tmp_path, "version_1")
    assert find_checkpoint(None, str(tmp_path)) == run / "checkpoints" / "best.ckpt"
    assert capsys.readouterr().out == f"Skipping {empty}: it has no best.ckpt or last.ckpt\n"


def test_a_file_or_the_folder_of_a_run_can_be_given(tmp_path: Path) -> None:
    make(tmp_path, "version_1", "best.ckpt")
    run = make(tmp_path, "version_0", "best.ckpt", "last.ckpt")
    last = run / "checkpoints" / "last.ckpt"
    assert find_checkpoint(str(last), str(tmp_path)) == last
    assert find_checkpoint(str(run), str(tmp_path)) == run / "checkpoints" / "best.ckpt"


@pytest.mark.parametrize("given", [None, "nothing"])
def test_no_checkpoint(given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "version_0")
    with pytest.raises(FileNotFoundError, match=r"^--ckpt_path: no checkpoint in .*run fit first"):
        find_checkpoint(given, "")


def test_a_run_has_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path, "version_0", "best.ckpt")
    assert run_of(run / "checkpoints" / "best.ckpt") is None
    (run / "config.yaml").touch()
    monkeypatch.chdir(run / "checkpoints")
    assert run_of(Path("best.ckpt")) == run
