"""`python -m report.paper`: the former name of `python -m paper`."""

from __future__ import annotations

import runpy

if __name__ == "__main__":
    runpy.run_module("paper", run_name="__main__", alter_sys=True)
