"""The words in which a run is described: names that the method, the commands and the spaces share. Imports no torch."""

from __future__ import annotations

from typing import Literal

Precision = Literal["torch", "fp32", "tf32", "bf16", "fp64"]
"""Arithmetic of networks; :func:`darts_pt.run.device.use_precision` says what each is."""
