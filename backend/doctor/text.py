"""A diagnosis as people read it on a terminal."""

from __future__ import annotations

from textwrap import fill

from backend.doctor.diagnosis import Diagnosis
from backend.doctor.finding import Figure, Finding

_WHAT = {
    "engine": "vLLM's metrics",
    "cache": "LMCache's metrics",
    "tiers": "Kvasir's policies in LMCache",
    "gateway": "the gateway",
}


def diagnosis_text(diagnosis: Diagnosis) -> str:
    lines = [f"{diagnosis.requests} requests in {_number(diagnosis.seconds)} s"]
    if not diagnosis.requests:
        lines.append("without requests there is little to judge; watch while the pair is used")
    lines += [f"{_WHAT[one.source]} not read: {one.url}: {one.problem}" for one in diagnosis.unreachable]
    if diagnosis.profile_problem:
        lines.append(f"profile not used: {diagnosis.profile_problem}")
    for missing in sorted({one.missing for one in diagnosis.not_judged}):
        names = [one.name for one in diagnosis.not_judged if one.missing == missing]
        lines.append(f"not judged for want of {' and '.join(_WHAT[one] for one in missing)}: {', '.join(names)}")
    for number, finding in enumerate(diagnosis.findings, start=1):
        lines += ["", f"{number}. {finding.symptom} [{finding.name}]", *_finding_lines(finding)]
    if not diagnosis.findings:
        lines.append("no finding")
    return "\n".join(lines)


def _finding_lines(finding: Finding) -> list[str]:
    wide = max(len(figure.name) for figure in finding.figures)
    lines = [f"   {figure.name.ljust(wide)}  {_value(figure)}" for figure in finding.figures]
    lines += [f"   seen: {example}" for example in finding.examples]
    lines.append(fill(finding.diagnosis, 110, initial_indent="   ", subsequent_indent="   "))
    return lines + [f"   $ {command}" for command in finding.commands]


def _value(figure: Figure) -> str:
    shown = " ".join(part for part in (_number(figure.value), figure.unit) if part)
    return shown if figure.limit is None else f"{shown}  (limit {_number(figure.limit)}: {figure.origin})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"
