"""Random distortions of a batch of digits: affine and elastic, from a seed."""

from dataclasses import dataclass
from math import pi, sqrt

import numpy
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from mlp_lightning.errors import SettingError

IMAGE_SIDE = 28  # pixels
# Pixels from the centre of an image to its outermost: 1 in the units of grid_sample.
HALF_SIDE = (IMAGE_SIDE - 1) / 2
AFFINE_NUMBERS = 6  # an angle, two scales, a slant, two shifts
ELASTIC_NUMBERS = 2 * IMAGE_SIDE**2  # how far each pixel moves, across and down

# Beyond these, nothing of a digit would be left in the frame.
MAX_VALUES = {
    "rotation": 180.0,
    "scale": 0.9,
    "shear": 10.0,
    "shift": 28.0,
    "elastic": 1000.0,
}
MIN_SMOOTHING = 0.5  # below it, neighbouring pixels would change places
MAX_SMOOTHING = 1000.0


@dataclass(frozen=True)
class Augmentation:
    """Distort each training image anew in each epoch.

    With all settings but smoothing at 0, images stay as they are.

    After Simard et al. 2003 (Best practices for convolutional neural networks applied
    to visual document analysis) and Cireşan et al. 2010
    (https://arxiv.org/abs/1003.0358).

    Args:
        rotation: Degrees. The angle and the next three settings are drawn between minus
            and plus the value given.
        scale: Fraction by which the width grows, and another by which the height does.
        shear: Pixels that a row moves sideways per row above the centre.
        shift: Pixels across, and others down.
        elastic: Pixels that each pixel moves, drawn between minus and plus this value
            before the moves are smoothed; 36, with a smoothing of 6, leaves moves of
            about one pixel.
        smoothing: Standard deviation, in pixels, of the Gaussian that smooths the
            moves.

    Raises:
        SettingError: If a value is out of its range.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    smoothing: float = 6.0

    def __post_init__(self) -> None:
        for name, maximum in MAX_VALUES.items():
            check_range(name, getattr(self, name), 0, maximum)
        check_range("smoothing", self.smoothing, MIN_SMOOTHING, MAX_SMOOTHING)

    def __bool__(self) -> bool:
        """Return whether images are distorted at all."""
        return any(getattr(self, name) for name in MAX_VALUES)

    def __call__(
        self,
        images: Tensor,
        seed: tuple[int, ...],
        batch_size: int,
        share: slice = slice(None),
    ) -> Tensor:
        """Return distorted copies of images; what leaves the frame is lost.

        Args:
            images: uint8, (n, 28, 28), the `share` of a batch that this process has.
            seed: What the random numbers of the whole batch are a function of.
            batch_size: Images in the whole batch, over all processes.
            share: Which of them these images are.

        Returns:
            uint8, (n, 28, 28), on the same device.
        """
        generator = build_generator(seed, images.device)
        for_affine = draw_numbers(generator, batch_size, AFFINE_NUMBERS)[share]
        pixels = images.unsqueeze(1).float()  # (n, 1, 28, 28)
        places = map_pixels(self.draw_matrices(for_affine))  # (n, 2, 28, 28)
        if self.elastic:
            for_elastic = draw_numbers(generator, batch_size, ELASTIC_NUMBERS)[share]
            places += self.draw_moves(for_elastic)
        # grid_sample asks for (x, y) last; the sums above are faster with it before.
        grid = places.permute(0, 2, 3, 1)  # (n, 28, 28, 2)
        distorted = grid_sample(pixels, grid, align_corners=True)
        return distorted.squeeze(1).round_().byte()

    def draw_matrices(self, numbers: Tensor) -> Tensor:
        """Return the affine map from each pixel to the place that it is taken from.

        Args:
            numbers: float32, (n, 6), in [-1, 1].

        Returns:
            float32, (n, 2, 3), in the units of grid_sample: shear, then turn, then
            scale, then shift.
        """
        angle, wider, higher, slant, right, down = numbers.unbind(dim=1)  # each (n,)
        angle = angle * (self.rotation * pi / 180)
        slant = slant * self.shear
        width = 1 / (1 + wider * self.scale)
        height = 1 / (1 + higher * self.scale)
        right = right * (self.shift / HALF_SIDE)
        down = down * (self.shift / HALF_SIDE)
        sin = angle.sin()
        cos = angle.cos()
        sheared_cos = slant * cos - sin
        sheared_sin = slant * sin + cos
        entries = [
            width * cos,
            width * sheared_cos,
            right,
            height * sin,
            height * sheared_sin,
            down,
        ]
        return torch.stack(entries, dim=1).view(-1, 2, 3)

    def draw_moves(self, numbers: Tensor) -> Tensor:
        """Return how far each pixel moves, smooth over the image.

        Args:
            numbers: float32, (n, 1568), in [-1, 1].

        Returns:
            float32, (n, 2, 28, 28), across and down, in the units of grid_sample.
        """
        rough = numbers.reshape(-1, 2, IMAGE_SIDE, IMAGE_SIDE)
        gaussian = self.build_gaussian(numbers.device)
        smooth = gaussian @ rough @ gaussian  # columns, then rows
        return smooth.mul_(self.elastic / HALF_SIDE)

    def build_gaussian(self, device: torch.device) -> Tensor:
        """Return the weights, (28, 28), by which a row of pixels is smoothed."""
        pixels = torch.arange(IMAGE_SIDE, device=device)
        distances = pixels - pixels[:, None]
        deviations = distances / self.smoothing
        gaussian = torch.exp(deviations.square().div(-2))
        # Of sum 1 on an endless row: at the edges of the image, moves become smaller.
        return gaussian / (self.smoothing * sqrt(2 * pi))


def map_pixels(matrices: Tensor) -> Tensor:
    """Return the place that each pixel is taken from, by an affine map.

    torch's affine_grid returns the same with align_corners, but for the rounding and
    the order of the dimensions. Its matrix products take longer than these sums.

    Args:
        matrices: float32, (n, 2, 3).

    Returns:
        float32, (n, 2, 28, 28), across and down, in the units of grid_sample.
    """
    positions = torch.linspace(-1, 1, IMAGE_SIDE, device=matrices.device)
    by_column, by_row, constant = matrices[..., None].unbind(dim=2)  # each (n, 2, 1)
    column_part = by_column * positions  # (n, 2, 28)
    row_part = by_row * positions + constant  # (n, 2, 28)
    return column_part.unsqueeze(2) + row_part.unsqueeze(3)


def check_range(name: str, value: float, minimum: float, maximum: float) -> None:
    """Raise SettingError unless the value, which may be nan, is in its range."""
    if not minimum <= value <= maximum:
        raise SettingError(
            f"{name}: must be from {minimum:g} to {maximum:g}, got {value}"
        )


def build_generator(seed: tuple[int, ...], device: torch.device) -> torch.Generator:
    """Return a generator of random numbers that is a function of the seed."""
    # SeedSequence mixes the parts of the seed, so that no two seeds are neighbours.
    sequence = numpy.random.SeedSequence(seed)
    (state,) = sequence.generate_state(1, numpy.uint64)
    generator = torch.Generator(device)
    return generator.manual_seed(int(state))


def draw_numbers(generator: torch.Generator, batch_size: int, count: int) -> Tensor:
    """Draw random numbers, float32, (batch_size, count), in [-1, 1]."""
    device = generator.device
    numbers = torch.rand(batch_size, count, generator=generator, device=device)
    return numbers.mul_(2).sub_(1)
