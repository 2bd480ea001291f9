"""The search for settings: `python -m mlp_lightning search STUDY.yaml`."""
