"""Check that wheels and source distributions hold the data that the package needs.

python .ci/check_dist.py dist/*
"""

import sys
import tarfile
import zipfile
from pathlib import Path

MNIST = (
    "train-images-idx3",
    "train-labels-idx1",
    "t10k-images-idx3",
    "t10k-labels-idx1",
)
NEEDED = [
    *(f"mlp_lightning/mnist/{name}-ubyte.gz" for name in MNIST),
    "mlp_lightning/mnist/LICENSE",
    "mlp_lightning/page/demo.html",
    "mlp_lightning/page/lesson.html",
    "mlp_lightning/page/worker.js",
    "mlp_lightning/py.typed",
]


def list_files(path: Path) -> list[str]:
    """Return the names in an archive, without a source distribution's own folder."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def main() -> None:
    paths = [Path(word) for word in sys.argv[1:]]
    if not paths:
        sys.exit("name the files to check")
    for path in paths:
        files = list_files(path)
        missing = [name for name in NEEDED if name not in files]
        if missing:
            sys.exit(f"{path} lacks {', '.join(missing)}")
        print(f"{path} is complete")


if __name__ == "__main__":
    main()
