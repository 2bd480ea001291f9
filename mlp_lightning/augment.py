"""Random distortions of a batch of digits, affine and elastic: a function of the seed alone."""

from dataclasses import asdict, dataclass
from math import pi

import numpy
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

SIDE = 28
HALF = (
    SIDE - 1
) / 2  # pixels from the middle to the outermost: 1 in the units of grid_sample
MOST = {"rotation": 180.0, "scale": 0.9, "shear": 10.0, "shift": 28.0, "elastic": 1e3}


@dataclass(frozen=True)
class Augmentation:
    """Distort each training image anew in each epoch; not at all if all but smoothing are 0.

    After Simard et al. 2003 (Best practices for convolutional neural networks applied to visual
    document analysis) and Cireşan et al. 2010 (https://arxiv.org/abs/1003.0358).

    Args:
        rotation: Degrees. The angle and the next three are drawn from minus to plus the setting.
        scale: Fraction by which the width grows, and another by which the height does.
        shear: Pixels that a row moves sideways per row above the middle.
        shift: Pixels across, and others down.
        elastic: Pixels that each pixel moves, before its moves, drawn from minus to plus this, are
            smoothed; 36, with a smoothing of 6, leaves moves of about one pixel.
        smoothing: Standard deviation, in pixels, of the Gaussian that smooths the moves.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    smoothing: float = 6.0

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            if not 0 <= (value := getattr(self, name)) <= most:
                raise ValueError(f"{name}: must be from 0 to {most:g}, got {value}")
        if not 0.5 <= self.smoothing <= 1e3:
            raise ValueError(
                f"smoothing: must be from 0.5 to 1000, got {self.smoothing}"
            )

    def __bool__(self) -> bool:
        return any(asdict(self)[name] for name in MOST)

    def __call__(
        self,
        images: Tensor,
        seed: tuple[int, ...],
        count: int,
        share: slice = slice(None),
    ) -> Tensor:
        """Return distorted copies of images, uint8, (batch, 28, 28), on their device.

        They are the `share` of a batch of `count` images, for all of which is drawn by this seed.
        What leaves the frame is lost.
        """
        entropy = numpy.random.SeedSequence(seed).generate_state(1, numpy.uint64)
        generator = torch.Generator(images.device).manual_seed(int(entropy[0]))
        # six numbers of the affine map, and the two moves of each pixel
        drawn = torch.rand(
            count, 6 + 2 * SIDE**2, generator=generator, device=images.device
        )
        drawn = drawn[share].mul_(2).sub_(1)  # (batch, 1574), in ±1
        angle, wider, higher, slant, *shift = drawn[:, :6].unbind(dim=1)
        angle, slant = angle * (self.rotation * pi / 180), slant * self.shear
        wide, high = 1 / (1 + wider * self.scale), 1 / (1 + higher * self.scale)
        across, down = (move * (self.shift / HALF) for move in shift)
        sin, cos = angle.sin(), angle.cos()
        # from a pixel to the place that it is taken from: sheared, turned, scaled, shifted
        rows = (
            (wide * cos, wide * (slant * cos - sin), across),
            (high * sin, high * (slant * sin + cos), down),
        )
        affine = torch.stack(
            [torch.stack(row, dim=1) for row in rows], dim=1
        )  # (batch, 2, 3)
        offsets = torch.arange(SIDE, device=images.device)
        gaussian = torch.exp(
            (offsets - offsets[:, None]).div(self.smoothing).square().div(-2)
        )
        gaussian = gaussian / (
            self.smoothing * (2 * pi) ** 0.5
        )  # sums to 1 on an endless row
        moves = gaussian @ drawn[:, 6:].reshape(-1, 2, SIDE, SIDE) @ gaussian
        grid = affine_grid(affine, [len(images), 1, SIDE, SIDE], align_corners=True)
        grid += moves.permute(0, 2, 3, 1) * (self.elastic / HALF)  # (batch, 28, 28, 2)
        distorted = grid_sample(images.unsqueeze(1).float(), grid, align_corners=True)
        return distorted.squeeze(1).round_().byte()
