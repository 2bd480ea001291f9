import gc
import sys


def main(args: list[str] | None = None) -> None:
    """Run the command line with these words, else with those of the shell."""
    # What imports make stays to the end. Looking through it for garbage, again and again and once
    # more at exit, would take a third of the start-up's time.
    gc.disable()
    try:
        from mlp_lightning.cli import CLI
    except KeyboardInterrupt:
        print("python -m mlp_lightning: error: interrupted", file=sys.stderr)
        sys.exit(130)
    gc.freeze()
    gc.enable()
    CLI(args)


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a file's name may be in any alphabet
    main()
