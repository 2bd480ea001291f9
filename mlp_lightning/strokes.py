"""How wide the strokes of a pen are, and how to widen them."""

from typing import NamedTuple

import numpy
import torch
from torch.nn.functional import max_pool2d

from mlp_lightning.components import IndexArray, Mask
from mlp_lightning.ink import FloatArray

MIN_STROKE_INK = 0.5  # What is weaker is the soft edge of a stroke.


class Runs(NamedTuple):
    """For each pixel of a mask, the run of its column that it belongs to."""

    starts: IndexArray  # (height, width), the first row of the run
    lengths: IndexArray  # (height, width), in pixels; 0 outside the mask


def find_runs(mask: Mask) -> Runs:
    """Return the runs of True in each column of a mask."""
    height, _ = mask.shape
    rows = numpy.arange(height)[:, None]  # (height, 1)
    gaps_above = numpy.where(mask, -1, rows)
    starts = numpy.maximum.accumulate(gaps_above) + 1
    gaps_below = numpy.where(mask, height, rows)
    ends = numpy.minimum.accumulate(gaps_below[::-1])[::-1]
    lengths = numpy.where(mask, ends - starts, 0)
    return Runs(starts, lengths)


def measure_stroke_width(ink: FloatArray) -> float:
    """Return the mean width of the strokes of a digit, in pixels.

    The width at a pixel is taken across or down, whichever is less: up to 1.4 times the
    width of a stroke that slants.

    Args:
        ink: (height, width), from 0 to 1.
    """
    mask = ink > MIN_STROKE_INK
    heights = find_runs(mask).lengths
    widths = find_runs(mask.T).lengths.T
    narrower = numpy.minimum(heights, widths)
    return float(narrower[mask].mean())


def widen_strokes(ink: FloatArray, radius: float) -> FloatArray:
    """Draw a digit anew with a round brush.

    Each pixel becomes as strong as the strongest one within the radius.

    Args:
        ink: (height, width), 0 or more.
        radius: In pixels, 0 or more. Below 1, nothing changes.

    Returns:
        (height + 2 m, width + 2 m), where m is the radius without its fraction.
    """
    margin = int(radius)
    padded = numpy.pad(ink, margin)
    pixels = torch.from_numpy(padded)[None]  # (1, height + 2 margin, width + 2 margin)
    height = pixels.shape[1]
    widened = pixels.clone()
    for step in range(-margin, margin + 1):
        half_width = int((radius**2 - step**2) ** 0.5)
        row_maxima = max_pool2d(
            pixels, (1, 2 * half_width + 1), stride=1, padding=(0, half_width)
        )
        first = max(step, 0)
        last = height + min(step, 0)
        target = widened[:, first:last]
        source = row_maxima[:, first - step : last - step]
        torch.maximum(target, source, out=target)
    return widened[0].numpy()
