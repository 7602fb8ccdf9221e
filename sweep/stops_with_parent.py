"""`python -m sweep.stops_with_parent PARENT COMMAND …`: becomes COMMAND; SIGTERM asks it to stop when PARENT dies.

A run whose worker is gone saves itself and ends, so that the job can be taken up elsewhere. Linux only; elsewhere it goes
on to its end, and who takes the job up waits for its experiment and finds it done.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    signal.pthread_sigmask(signal.SIG_SETMASK, set())  # Ray's workers block SIGINT, and children inherit that.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:  # It died before this was asked for.
        sys.exit(128 + signal.SIGTERM)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
