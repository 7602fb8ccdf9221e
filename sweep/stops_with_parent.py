"""`python -m sweep.stops_with_parent PARENT COMMAND …`: becomes COMMAND; SIGTERM asks it to stop when PARENT dies.

If its worker is gone, a run saves itself and ends, so that another worker can continue the job. Linux only: on other
systems the run goes on to its end, and the other worker waits for the experiment and then finds it done.
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
    if os.getppid() != parent:  # The parent died before the call above.
        sys.exit(128 + signal.SIGTERM)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
