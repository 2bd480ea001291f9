"""Run examples/quickstart.ipynb from top to bottom, and renew its pictures.

    python benchmarks/quickstart.py --write

`--write` saves the notebook with the pictures that its cells show. All other output
differs from machine to machine, and is left out.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"
CELL_TIMEOUT = 600  # seconds
PICTURE = "image/png"


def read_notebook() -> NotebookNode:
    """Return the notebook as it is in the repository."""
    return nbformat.read(NOTEBOOK, as_version=4)


def run_notebook(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells in a folder; their output goes into the notebook.

    Raises:
        CellExecutionError: If a cell fails.
    """
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=CELL_TIMEOUT, resources=resources)
    client.execute()


def keep_pictures(notebook: NotebookNode) -> None:
    """Remove all output but pictures, and the marks of a run."""
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.execution_count = None
            shown = [output for output in cell.outputs if PICTURE in get_data(output)]
            cell.outputs = [show_picture(output.data[PICTURE]) for output in shown]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    language = {"name": "python"}
    metadata = {"kernelspec": kernel, "language_info": language}
    notebook.metadata = nbformat.from_dict(metadata)


def get_data(output: NotebookNode) -> NotebookNode:
    """Return what an output shows, by type; a stream of text shows nothing."""
    return output.get("data", {})


def show_picture(png: str) -> NotebookNode:
    """Return an output that shows a picture, given in base64."""
    return nbformat.v4.new_output("display_data", {PICTURE: png})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="save its pictures")
    arguments = parser.parse_args()
    notebook = read_notebook()
    with TemporaryDirectory() as folder:
        run_notebook(notebook, Path(folder))
    keep_pictures(notebook)
    if arguments.write:
        nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
