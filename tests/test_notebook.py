"""The notebook for learners: it runs, it is right, and it holds no stale output."""

import base64
import copy
import json
from pathlib import Path

import pytest
from quickstart import PICTURE, keep_pictures, read_notebook, run_notebook

MAX_PICTURE_SIZE = 60_000  # bytes
MAX_CELLS = 10
# Instead of five epochs: a third of one takes a second and teaches enough.
FEW_STEPS = "max_epochs=1, limit_train_batches=300"
# Appended to the last cell; what it prints comes last.
PRINT_RESULTS = """
import json
print(json.dumps([accuracy, wide_accuracy, answer, len(mistakes)]))
"""


@pytest.mark.subprocess
def test_it_runs_from_top_to_bottom(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(workplace))  # not the user's own profile
    notebook = read_notebook()
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    trainings = sum(cell.source.count("max_epochs=5") for cell in codes)
    assert trainings == 2
    for cell in codes:
        cell.source = cell.source.replace("max_epochs=5", FEW_STEPS)
    codes[-1].source += PRINT_RESULTS
    run_notebook(notebook, workplace)
    results = codes[-1].outputs[-1].text.splitlines()[-1]
    accuracy, wide_accuracy, answer, mistakes = json.loads(results)
    assert accuracy > 0.75
    assert wide_accuracy > 0.9
    assert answer == 7  # as is drawn
    assert mistakes == round(10_000 * (1 - accuracy))
    keep_pictures(notebook)
    pictures = [len(cell.outputs) for cell in codes]
    assert pictures == [0, 1, 1, 2, 0]
    committed = read_notebook().cells
    assert pictures == [len(cell.outputs) for cell in committed if "outputs" in cell]


def test_its_only_output_is_small_pictures() -> None:
    notebook = read_notebook()
    assert len(notebook.cells) == MAX_CELLS
    cleared = copy.deepcopy(notebook)
    keep_pictures(cleared)
    assert notebook == cleared
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            picture = base64.b64decode(output.data[PICTURE])
            assert picture.startswith(b"\x89PNG")
            assert len(picture) < MAX_PICTURE_SIZE
