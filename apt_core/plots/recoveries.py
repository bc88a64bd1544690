"""Several recoveries over one another: held-out loss over the tokens that each read, beside their dense models."""

from __future__ import annotations

from dataclasses import replace

from apt_core.plots.recovery import CHART as OF_ONE

CHART = replace(OF_ONE, name="recoveries", place=6, of_run=False, of_set=True)
