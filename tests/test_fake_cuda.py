"""The GPU that is not there: its watch sees what is bad for a real one, and its backward passes find torch's gradients."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from darts_pt.data.data_set import DataSet
from darts_pt.data.halves import halves
from darts_pt.hyperparameters import WeightOptions
from darts_pt.image_training import Halves, ImageTraining
from darts_pt.methods import METHODS
from darts_pt.run.device import Generators
from darts_pt.supernet import initial_alpha
from darts_pt.training import sgd
from tests.helpers.fake_cuda import CAN_BE_FAKED, CUDA, fake_cuda, walked
from tests.helpers.spaces import supernet_of

pytestmark = pytest.mark.skipif(not CAN_BE_FAKED, reason="this torch's graphs do not say of which types gradients are")


@pytest.mark.parametrize(("space", "method"), [("nasbench201", "darts"), ("s2", "darts-2nd"), ("s4", "drnas")])
def test_walked_backward_passes_find_torchs_gradients(few_digits: DataSet, space: str, method: str) -> None:
    found = []
    for walks in (False, True):
        generators = Generators(0, "cpu")
        supernet = supernet_of(space, method, generators).double()
        alpha = initial_alpha(supernet.cell_types, generators["alpha"], dtype=torch.float64)
        architect = METHODS[method].load()(supernet, alpha, None, None, generators)
        split, options = Halves(*halves(few_digits, 0.5, 0)), WeightOptions(batch_size=12)
        training = ImageTraining(architect, few_digits, split, generators, options, sgd(supernet, options))
        with walked() if walks else nullcontext():
            training.step(next(training.search_batches()[1]))
        found.append([*supernet.parameters(), *alpha.values(), *supernet.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def half_normalised(maps: Tensor) -> None:
    statistics = maps.new_empty(0), maps.new_empty(0)
    torch.ops.aten.native_batch_norm.out(
        maps, None, None, None, None, True, 0.1, 1e-5, out=maps, save_mean=statistics[0], save_invstd=statistics[1]
    )


@pytest.mark.parametrize(
    ("action", "noted"),
    [
        (lambda x: x[torch.tensor([0, 1])], "refused"),
        (lambda x: x.normal_(generator=torch.Generator("cpu").manual_seed(1)), "refused"),
        (lambda x: half_normalised(torch.zeros(2, 3, 4, 4, device=CUDA, dtype=torch.bfloat16)), "refused"),
        (lambda x: x.sum().item(), "waits"),
        (lambda x: float(x[0]), "waits"),
        (lambda x: x.tolist(), "waits"),
        (lambda x: bool((x > 0).all()), "waits"),
        (lambda x: x.cpu(), "waits"),
        (lambda x: torch.zeros(3).to(CUDA), "waits"),
        (lambda x: torch.tensor([1.0], device=CUDA), "waits"),
        (lambda x: x[[0, 2]], "waits"),
        (lambda x: x + x.double(), "converting"),
        (lambda x: x + x, ""),
        (lambda x: x * 2 + torch.tensor(1.0), ""),
        (lambda x: torch.rand(3, device=CUDA, generator=torch.Generator(CUDA).manual_seed(2)), ""),
    ],
)
def test_the_watch_sees_what_is_bad_for_a_gpu(action: Callable[[Tensor], object], noted: str) -> None:
    with fake_cuda() as watch:
        images = torch.zeros(3, device=CUDA)
        watch.clear()
        action(images)
    assert [name for name in ("refused", "waits", "converting") if getattr(watch, name)] == [noted][: bool(noted)]


def test_fake_tensors_of_both_devices_do_not_meet() -> None:
    with fake_cuda():
        images, others = torch.zeros(3, device=CUDA), torch.arange(3)
        for action in (torch.add, lambda one, other: one.index_select(0, other)):
            with pytest.raises(RuntimeError, match="device"):
                action(images, others)
