from mlp_lightning.cli import CLI

if __name__ == "__main__":
    CLI()
