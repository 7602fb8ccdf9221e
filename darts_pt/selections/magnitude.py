"""Select by the largest mixing weight, at once: how DARTS does it (Liu et al., ICLR 2019, section 2.4)."""

from __future__ import annotations

from darts_pt.selection import Magnitude
from darts_pt.selections import SelectionMethod

SELECTION = SelectionMethod(lambda circumstances: Magnitude(), tunes=False)
