"""torch's compiler stays out of a command's start, and comes when it is called."""

from __future__ import annotations

import subprocess
import sys

from darts_pt.run.provenance import PROJECT_ROOT

STEP = """
import sys
from darts_pt.commands.compiler import postpone_compiler
postpone_compiler()
import torch
weight = torch.nn.Parameter(torch.ones(3))
for make in (torch.optim.SGD, torch.optim.Adam):
    optimizer = make([weight], lr=0.5)
    weight.grad = torch.ones(3)
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
assert torch.allclose(weight.detach(), torch.zeros(3), atol=1e-6), weight
assert "torch._dynamo.symbolic_convert" not in sys.modules, "it was loaded"
"""
CALLED = (
    "assert torch._dynamo.config.suppress_errors is False",
    "import torch._dynamo.utils; assert torch._dynamo.utils.counters is not None",
    "assert torch.equal(torch.compile(torch.neg, backend='eager')(torch.ones(2)), -torch.ones(2))",
)
EACH_BY_ITSELF = f"""
import os
for called in {CALLED!r}:
    if not (child := os.fork()):
        exec(called)
        os._exit("torch._dynamo.symbolic_convert" not in sys.modules)
    assert os.waitpid(child, 0)[1] == 0, called
"""


def test_optimisers_step_without_the_compiler_which_is_there_when_it_is_called() -> None:
    command = [sys.executable, "-c", STEP + EACH_BY_ITSELF]
    ended = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
