"""`python -m mlp_lightning`."""

import gc
import sys
from io import TextIOWrapper


def main(args: list[str] | None = None) -> None:
    """Run the command line with these words, else with those of the shell."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A file's name may be in an alphabet that the terminal does not have.
        sys.stdout.reconfigure(errors="replace")
    try:
        run_command_line(args)
    except KeyboardInterrupt:  # before the command line itself listens
        print("python -m mlp_lightning: error: interrupted", file=sys.stderr)
        sys.exit(130)


def run_command_line(args: list[str] | None) -> None:
    """Import the command line, which takes seconds, and run it."""
    # What imports make stays to the end. To look through it for garbage, again and
    # again and once more at exit, would take a third of the start-up's time.
    gc.disable()
    from mlp_lightning.cli import MLPCLI

    gc.freeze()
    gc.enable()
    MLPCLI(args)


if __name__ == "__main__":
    main()
