"""What the commands of every space do: search, select, train a derived network; from options to files.

The spaces' command modules add their options and call one of these functions.
"""

from darts_pt.commands.common import Selected
from darts_pt.commands.search import run_search
from darts_pt.commands.selection import Searched, open_search, run_selection, selection_name, selection_pattern
from darts_pt.commands.training import run_training, training_options

__all__ = [
    "Searched",
    "Selected",
    "open_search",
    "run_search",
    "run_selection",
    "run_training",
    "selection_name",
    "selection_pattern",
    "training_options",
]
