"""`python -m mlp_lightning`."""

import gc
import os
import signal
import sys
import threading
from io import TextIOWrapper
from types import FrameType

INTERRUPTED = b"python -m mlp_lightning: error: interrupted\n"


def main(args: list[str] | None = None) -> None:
    """Run the command line with these words, else with those of the shell."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A file's name may be in an alphabet that the terminal does not have.
        sys.stdout.reconfigure(errors="replace")
    # Only the main thread may listen to signals.
    listens = threading.current_thread() is threading.main_thread()
    if listens:
        handler = signal.signal(signal.SIGINT, leave_at_once)
    # What imports make stays to the end. To look through it for garbage, again and
    # again and once more at exit, would take a third of the start-up's time.
    gc.disable()
    from mlp_lightning import cli

    words = sys.argv[1:] if args is None else args
    searches = words[:1] == ["search"]
    if searches:
        from mlp_lightning.search import command
    gc.freeze()
    gc.enable()
    if listens:
        signal.signal(signal.SIGINT, handler)
    if searches:
        command.main(words[1:])
    else:
        cli.MLPCLI(args)


def leave_at_once(number: int, frame: FrameType | None) -> None:
    """Exit with code 130 on Ctrl-C while libraries are imported, which takes seconds.

    They do not expect an exception there: some end in an error of their own, or crash.
    """
    os.write(2, INTERRUPTED)
    os._exit(130)


if __name__ == "__main__":
    main()
