"""Recompute and load by length, for each tier, with the break-even between them."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from backend.errors import MeasurementFailed
from backend.tiers.profile import Profile, Sample

_POINTS = 200


def plot_profile(profile: Profile, path: Path) -> None:
    """Write the plot; the file's ending says the format. Raises `MeasurementFailed` without matplotlib."""
    try:
        import matplotlib
    except ImportError as exc:
        raise MeasurementFailed(
            "plot", "matplotlib is not installed; install it with pip install 'kvasir[plots]'"
        ) from exc
    matplotlib.use("agg")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kvasir"}):
        _draw(profile, path)


def _draw(profile: Profile, path: Path) -> None:
    from matplotlib import pyplot

    longest = max(sample.tokens for sample in profile.prefill_samples)
    lengths = [longest * point / _POINTS for point in range(1, _POINTS + 1)]
    base = profile.prefill.constant_seconds
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    axes.plot(lengths, [profile.prefill.seconds(length) for length in lengths], color="C0", label="recompute")
    _points(axes, profile.prefill_samples, "C0")
    for number, (name, tier) in enumerate(profile.tiers.items(), start=1):
        color = f"C{number}"
        meets = profile.break_even_tokens(name)
        label = f"load from {name}: " + ("never cheaper" if meets is None else f"cheaper from {meets:.0f} tokens")
        axes.plot(lengths, [base + tier.load.seconds(length) for length in lengths], color=color, label=label)
        _points(axes, tier.load_samples, color)
        if meets is not None and meets <= longest:
            axes.axvline(meets, color=color, linestyle=":", linewidth=1)
    axes.set_xlabel("tokens of the prompt")
    axes.set_ylabel("seconds to the first token")
    axes.set_ylim(bottom=0)
    axes.set_title(Path(profile.model).name)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _points(axes: object, samples: tuple[Sample, ...], color: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    medians = [median(sample.seconds) for sample in samples]
    spread = [
        [middle - min(sample.seconds) for middle, sample in zip(medians, samples, strict=True)],
        [max(sample.seconds) - middle for middle, sample in zip(medians, samples, strict=True)],
    ]
    axes.errorbar([sample.tokens for sample in samples], medians, yerr=spread, fmt="o", markersize=4, color=color)
