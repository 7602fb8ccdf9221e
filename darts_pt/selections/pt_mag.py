"""DARTS+PT-Mag (paper, section 6.2): the events and tuning of PT, the choice of magnitude."""

from __future__ import annotations

from darts_pt.selection import Magnitude
from darts_pt.selections import SelectionMethod

SELECTION = SelectionMethod(lambda circumstances: Magnitude())
