import gc


def main() -> None:
    # What imports make stays to the end. Looking through it for garbage, again and again and once
    # more at exit, would take a third of the start-up's time.
    gc.disable()
    from mlp_lightning.cli import CLI

    gc.freeze()
    gc.enable()
    CLI()


if __name__ == "__main__":
    main()
