"""The help of the subcommands, as the methods of MLPTrainer give it."""

import pytest
from support import RunCommand

HELP = {
    "validate": "Measure a checkpoint on the validation images.",
    "test": "Measure a checkpoint on the 10,000 test images.",
    "predict": "Write the class and the probabilities of pictures, "
    "or of the test images.",
    "export": "Write the network of a checkpoint to a file that needs no Lightning.",
    "lesson": "Write a page on which the network learns before your eyes, "
    "in any browser.",
}
OPTIONS = {
    "validate": ["--ckpt_path", "--verbose", "--weights_only"],
    "test": ["--ckpt_path", "--verbose", "--weights_only"],
    "predict": ["--return_predictions", "--ckpt_path", "--weights_only", "--output"],
    "export": ["--output", "--ckpt_path"],
    "lesson": ["--output"],
}


@pytest.mark.parametrize("subcommand", HELP)
def test_the_help_of_a_subcommand_is_a_whole_sentence_and_has_its_options(
    subcommand: str, cli: RunCommand
) -> None:
    outcome = cli(subcommand, "--help")
    assert outcome.code == 0
    _, description, *_, own = outcome.out.split("\n\n")
    assert " ".join(description.split()) == HELP[subcommand]
    options = [line.split()[0] for line in own.splitlines() if line.startswith("  --")]
    assert options == OPTIONS[subcommand]
    has_checkpoint = "--ckpt_path" in options
    assert ("Checkpoint or run; default: the best of the newest" in own) == (
        has_checkpoint
    )
