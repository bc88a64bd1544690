"""What reports say of jobs that make a model by a method."""

from __future__ import annotations

from typing import Any

from apt_core.base.patterns import SemiStructured, Unstructured


def method_facts(method: Any, calibration: str, seed: int) -> list[tuple[str, str]]:
    """method: with a label, a source and settings. calibration: the windows, in words."""
    options = ", ".join(f"{name} {value}" for name, value in method.settings().items())
    return [
        ("method", f"{method.label} ({method.source})"),
        ("options", options),
        ("calibration", calibration),
        ("seed", str(seed)),
    ]


def going_on_facts(resume: str | None) -> list[tuple[str, str]]:
    return [("goes on from", resume)] if resume else []


def name_parts(method: str, pattern: Unstructured | SemiStructured) -> tuple[str, str]:
    """('apt', '2:4'), ('wanda', '50pct')"""
    if isinstance(pattern, SemiStructured):
        return method, pattern.label
    return method, f"{100 * pattern.sparsity:.6g}pct"
