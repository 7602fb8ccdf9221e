"""DARTS+PT-Mag (paper, section 6.2): the events and tuning of PT, the choices of magnitude."""

from __future__ import annotations

from darts_pt.selections import Selection
from darts_pt.selections.magnitude import by_magnitude

__all__ = ["SELECTION", "by_magnitude"]

SELECTION = Selection(
    title="PT-Mag", summary="by alpha, with the events and tuning of pt", implementation="by_magnitude"
)
