from math import cos, exp, floor, pi, radians, sin, sqrt, tau
from pathlib import Path
from typing import Any

import lightning
import numpy
import pytest
import torch
from support import QUIET_TRAINER, BatchRecorder, read_mnist
from torch import Tensor

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.augment import Augmentation
from mlp_lightning.mlp import normalise

SETTINGS = {
    "rotation": 15.0,
    "scale": 0.15,
    "shear": 0.2,
    "shift": 2.0,
    "elastic": 45.0,
}
ALL = Augmentation(**SETTINGS)


@pytest.fixture
def digits(data_dir: Path) -> Tensor:
    return read_mnist(data_dir, "train")[0]


def test_it_is_a_function_of_the_seed_alone(digits: Tensor) -> None:
    digits = digits[:256]
    first = ALL(digits, (1, 2, 3), 256)
    assert first.dtype == torch.uint8
    assert first.shape == (256, 28, 28)
    assert first.is_contiguous()
    state = torch.get_rng_state()
    ALL(digits, (5, 5, 5), 256)
    assert torch.equal(ALL(digits, (1, 2, 3), 256), first)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's numbers are taken
    for other in ((0, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3)):
        assert not torch.equal(ALL(digits, other, 256), first)


def test_no_two_images_are_distorted_alike(digits: Tensor) -> None:
    one = digits[:1].expand(1_000, 28, 28)
    assert len(ALL(one, (1,), 1_000).flatten(1).unique(dim=0)) == 1_000


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_each_device_takes_its_share_of_one_draw(
    digits: Tensor, world_size: int
) -> None:
    whole = ALL(digits[:250], (1, 2, 3), 250)
    for rank in range(world_size):
        share = slice(rank, None, world_size)
        assert torch.equal(
            ALL(digits[:250][share], (1, 2, 3), 250, share), whole[share]
        )


def test_without_settings_nothing_changes(digits: Tensor) -> None:
    assert not Augmentation()
    assert torch.equal(Augmentation()(digits[:100], (1,), 100), digits[:100])
    assert all(Augmentation(**{name: value}) for name, value in SETTINGS.items())


def slowly(image: Any, drawn: Any) -> Any:
    """Distort one image as the papers say, pixel by pixel, in float64."""
    angle, wider, higher, slant, right, down = drawn[:6] * [
        radians(15),
        0.15,
        0.15,
        0.2,
        2,
        2,
    ]
    noise = drawn[6:].reshape(2, 28, 28)
    weight = [
        exp(-((distance / 6) ** 2) / 2) / (6 * sqrt(tau)) for distance in range(28)
    ]
    result = numpy.zeros((28, 28))
    for row in range(28):
        for column in range(28):
            near = [
                [weight[abs(row - i)] * weight[abs(column - j)] for j in range(28)]
                for i in range(28)
            ]
            move_x, move_y = (45 * (noise * near).sum(axis=(1, 2))).tolist()
            x, y = column - 13.5, row - 13.5
            x, y = x + slant * y, y  # sheared, then turned, then scaled, then shifted
            x, y = x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)
            x = x / (1 + wider) + right + move_x + 13.5
            y = y / (1 + higher) + down + move_y + 13.5
            for i in (floor(y), floor(y) + 1):
                for j in (floor(x), floor(x) + 1):
                    if 0 <= i < 28 and 0 <= j < 28:
                        result[row, column] += (
                            image[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
                        )
    return result


def test_it_equals_a_slow_loop_over_pixels(digits: Tensor) -> None:
    entropy = numpy.random.SeedSequence((1, 2, 3)).generate_state(1, numpy.uint64)
    generator = torch.Generator().manual_seed(int(entropy[0]))
    # For all images those of the affine map first, then those of the elastic moves.
    parts = [torch.rand(3, count, generator=generator) for count in (6, 2 * 28 * 28)]
    drawn = torch.cat(parts, dim=1).double().numpy() * 2 - 1
    distorted = ALL(digits[:3], (1, 2, 3), 3)
    for image, numbers, ours in zip(
        digits[:3].numpy(), drawn, distorted.numpy(), strict=True
    ):
        assert numpy.abs(slowly(image, numbers) - ours).max() < 0.51  # rounded
        assert numpy.abs(ours.astype(float) - image).max() > 100


ACROSS = torch.arange(0, 252, 9, dtype=torch.uint8).expand(
    4_000, 28, 28
)  # 9 levels a pixel
DOWN = ACROSS.transpose(1, 2)


@pytest.mark.parametrize(
    ("setting", "ramp", "row", "column", "least", "most"),
    [  # of the place from which this pixel is taken, in pixels from where it is
        ({"rotation": 15}, DOWN, 13, 23, -9.5 * sin(pi / 12), 9.5 * sin(pi / 12)),
        ({"scale": 0.15}, ACROSS, 13, 23, 9.5 / 1.15 - 9.5, 9.5 / 0.85 - 9.5),
        ({"scale": 0.15}, DOWN, 23, 13, 9.5 / 1.15 - 9.5, 9.5 / 0.85 - 9.5),
        ({"shear": 0.2}, ACROSS, 3, 13, -2.1, 2.1),
        ({"shear": 0.2}, DOWN, 3, 20, 0, 0),
        ({"shift": 2}, ACROSS, 13, 13, -2, 2),
        ({"shift": 2}, DOWN, 13, 13, -2, 2),
    ],
)
def test_the_settings_are_the_bounds(
    setting: dict[str, float],
    ramp: Tensor,
    row: int,
    column: int,
    least: float,
    most: float,
) -> None:
    moved = Augmentation(**setting)(ramp, (1,), 4_000)[:, row, column].double() / 9
    moves = moved - ramp[0, row, column].item() / 9
    assert moves.min().item() == pytest.approx(least, abs=0.15)
    assert moves.max().item() == pytest.approx(most, abs=0.15)
    assert moves.mean().item() == pytest.approx((least + most) / 2, abs=0.3)


@pytest.mark.parametrize(("elastic", "smoothing"), [(36, 6), (45, 6), (36, 4)])
def test_elastic_moves_have_the_size_that_theory_tells(
    elastic: float, smoothing: float
) -> None:
    moved = Augmentation(elastic=elastic, smoothing=smoothing)(ACROSS, (1,), 4_000)[
        :, 13, 13
    ]
    moves = moved.double() / 9 - 13
    weights = [
        exp(-((i - 13) ** 2) / smoothing**2) / (tau * smoothing**2) for i in range(28)
    ]
    assert moves.std().item() == pytest.approx(
        elastic * sqrt(1 / 3) * sum(weights), rel=0.05
    )
    assert moves.mean().item() == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("rotation", -1), ("rotation", 181), ("scale", 1), ("scale", float("nan"))),
        *(("shear", -0.1), ("shift", 29), ("elastic", float("inf"))),
        *(("smoothing", 0), ("smoothing", float("inf")), ("smoothing", float("nan"))),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{setting}: must be from .*, got {value}$"):
        Augmentation(**{setting: value})


def fit(
    data_dir: Path, augmentation: Augmentation, **settings: Any
) -> tuple[BatchRecorder, lightning.Trainer]:
    recorder = BatchRecorder()
    trainer = lightning.Trainer(
        **QUIET_TRAINER,
        max_epochs=2,
        limit_val_batches=1,
        callbacks=[recorder],
        **settings,
    )
    data = MNISTDataModule(
        str(data_dir), batch_size=100, val_size=59_750, augmentation=augmentation
    )
    trainer.fit(MLPClassifier([]), data)
    return recorder, trainer


def test_training_images_are_distorted_anew_and_no_others(data_dir: Path) -> None:
    distorted, trainer = fit(data_dir, ALL)
    plain, _ = fit(data_dir, Augmentation())
    numbers = [(epoch, batch) for epoch in (0, 1) for batch in range(3)]
    assert list(distorted.trained) == numbers
    for (epoch, batch), (images, _) in plain.trained.items():
        pixels = ((images * 0.3081 + 0.1307) * 255).round().byte().squeeze(1)
        count = [100, 100, 50][batch]
        expected = normalise(ALL(pixels, (42, epoch, batch), count))
        assert torch.equal(distorted.trained[epoch, batch][0], expected)
    for ours, theirs in zip(distorted.validated, plain.validated, strict=True):
        assert torch.equal(ours[0], theirs[0])
    digits, _ = read_mnist(data_dir, "train")
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    first_digits = digits[data.val_rows[:1_000]]
    assert torch.equal(distorted.validated[0][0], normalise(first_digits))


def test_overfit_batches_repeats_the_distortions_of_the_first_epoch(
    data_dir: Path,
) -> None:
    repeated, _ = fit(data_dir, ALL, overfit_batches=2)
    usual, _ = fit(data_dir, ALL)
    for batch in (0, 1):
        expected = usual.trained[0, batch][0]
        assert torch.equal(repeated.trained[0, batch][0], expected)
        assert torch.equal(repeated.trained[1, batch][0], expected)


def test_a_checkpoint_holds_the_settings(data_dir: Path, tmp_path: Path) -> None:
    _, trainer = fit(data_dir, ALL)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    held = checkpoint["datamodule_hyper_parameters"]
    assert held["augmentation"] == {**SETTINGS, "smoothing": 6}
    again = MNISTDataModule.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert again.augmentation == ALL
