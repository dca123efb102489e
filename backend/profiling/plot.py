"""Recompute and load by length, for each tier, with the break-even between them."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from backend.chart import COLOURS, chart, frame
from backend.tiers.profile import Profile, Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 200


def plot_profile(profile: Profile, path: Path) -> None:
    """Write the plot; the file's ending says the format. Raises `PlotFailed`."""
    longest = max(sample.tokens for sample in profile.prefill_samples)
    lengths = [longest * point / _POINTS for point in range(1, _POINTS + 1)]
    base = profile.prefill.constant_seconds
    with chart(path, (7, 4.5)) as (axis,):
        recompute, *colours = COLOURS
        axis.plot(lengths, [profile.prefill.seconds(length) for length in lengths], color=recompute, label="recompute")
        _points(axis, profile.prefill_samples, recompute)
        for colour, (name, tier) in zip(colours, profile.tiers.items(), strict=False):
            meets = profile.break_even_tokens(name)
            label = f"load from {name}: " + ("never cheaper" if meets is None else f"cheaper from {meets:.0f} tokens")
            axis.plot(lengths, [base + tier.load.seconds(length) for length in lengths], color=colour, label=label)
            _points(axis, tier.load_samples, colour)
            if meets is not None and meets <= longest:
                axis.axvline(meets, color=colour, linestyle=":", linewidth=1)
        frame(axis, Path(profile.model).name)
        axis.set_xlabel("tokens of the prompt")
        axis.set_ylabel("seconds to the first token")
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False)


def _points(axis: Axes, samples: tuple[Sample, ...], colour: str) -> None:
    medians = [median(sample.seconds) for sample in samples]
    spread = [
        [middle - min(sample.seconds) for middle, sample in zip(medians, samples, strict=True)],
        [max(sample.seconds) - middle for middle, sample in zip(medians, samples, strict=True)],
    ]
    axis.errorbar([sample.tokens for sample in samples], medians, yerr=spread, fmt="o", markersize=4, color=colour)
