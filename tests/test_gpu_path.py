"""The way through a GPU, checked where there is none: on fake CUDA tensors, which have shapes, types and devices.

What would break or slow down a GPU and nobody sees on a CPU: tensors of both devices in one operator, numbers that the host
reads in a step, a type that is not meant. Real GPUs have their own tests (`tests/darts_pt/kernels/test_passes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from darts_pt.data.augmentation import Augmentation
from darts_pt.data.data_set import DataSet
from darts_pt.data.halves import halves
from darts_pt.evaluation import EvaluationNetwork, NetworkTraining
from darts_pt.hyperparameters import Precision, TrainingOptions, WeightOptions
from darts_pt.image_training import Halves, ImageTraining
from darts_pt.methods import METHODS
from darts_pt.methods.sdarts_adv import Adversarial
from darts_pt.run.device import Generators, dtype_of
from darts_pt.selections.pt import score
from darts_pt.selections.zero_cost_pt import nwot, synflow
from darts_pt.supernet import CellType, Decisions, initial_alpha
from darts_pt.training import sgd
from nasbench201.architecture import EXAMPLE, operations_of
from nasbench201.network import NasBench201Network
from sota.genotypes import published
from sota.network import SotaNetwork
from tests.helpers.fake_cuda import CAN_BE_FAKED, CUDA, Watch, fake_cuda, on_the_cpu, walked
from tests.helpers.spaces import supernet_of

pytestmark = pytest.mark.skipif(not CAN_BE_FAKED, reason="this torch's graphs do not say of which types gradients are")

GUARD = "darts_pt.run.epoch.allows"
COMPUTED = "darts_pt.supernet.computed"
WAITS = {
    "blank": {GUARD: 1},
    "gdas": {GUARD: 2, COMPUTED: 2},
    "sdarts-rs": {GUARD: 2, COMPUTED: 1},
    "sdarts-adv": {GUARD: 2, COMPUTED: 5},
}
"""Method -> where a step waits for the device, per cell type for `computed`; docs/performance.md says why. The adversary's
ascent is two steps here, not seven."""
PRODUCTS = ("convolution", "convolution_backward", "mm", "addmm")
BATCH_NORM = {"native_batch_norm", "native_batch_norm_backward"}
"""In bf16 alone they take several types: maps in bfloat16, statistics and scales in float32."""


@pytest.fixture
def watch() -> Iterator[Watch]:
    with fake_cuda() as watch:
        yield watch


def data_on_cuda(digits: DataSet) -> DataSet:
    """With all augmentations."""
    return replace(
        digits,
        train=digits.train.to(CUDA),
        test=digits.test.to(CUDA),
        augmentation=Augmentation(crop_padding=1, flip=True, cutout=2),
    )


def training_of(digits: DataSet, space: str, method: str, precision: Precision = "torch") -> ImageTraining:
    """Made as the commands do: on the CPU, and then put on the device."""
    generators, dtype = Generators(3, CUDA), dtype_of(precision)
    with on_the_cpu():
        supernet, split = supernet_of(space, method, generators), halves(digits, 0.5, 0)
    supernet.to(CUDA, dtype)
    supernet.precision = precision
    alpha = initial_alpha(supernet.cell_types, generators["alpha"], CUDA, dtype)
    architect = METHODS[method].load()(supernet, alpha, None, None, generators)
    options = WeightOptions(batch_size=12)
    on_device = Halves(*(half.to(CUDA) for half in split))
    return ImageTraining(architect, data_on_cuda(digits), on_device, generators, options, sgd(supernet, options))


def few_undecided(cell_types: Sequence[CellType]) -> Decisions:
    """As late in a selection: four undecided edges of each cell type."""
    decisions = Decisions()
    for cell in cell_types:
        for edge in (1, *range(5, len(cell.edges))):
            decisions = decisions.with_operation(cell.name, edge, int(edge == 1))
    return decisions


def step(training: ImageTraining) -> None:
    """The first of an epoch."""
    training.step(next(training.search_batches()[1]))


def twice(action: Callable[[], object], watch: Watch) -> None:
    """Watches only the second time: the first sends what is kept on the device."""
    action()
    watch.clear()
    action()


# The watch itself ------------------------------------------------------------------------------------------------


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
            step(training)
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
def test_the_watch_sees_what_is_bad_for_a_gpu(watch: Watch, action: Callable[[Tensor], object], noted: str) -> None:
    images = torch.zeros(3, device=CUDA)
    watch.clear()
    action(images)
    assert [name for name in ("refused", "waits", "converting") if getattr(watch, name)] == [noted][: bool(noted)]


def test_fake_tensors_of_both_devices_do_not_meet(watch: Watch) -> None:
    images, others = torch.zeros(3, device=CUDA), torch.arange(3)
    for action in (torch.add, lambda one, other: one.index_select(0, other)):
        with pytest.raises(RuntimeError, match="device"):
            action(images, others)


# Steps -----------------------------------------------------------------------------------------------------------


STEPS: list[tuple[str, str, Precision]] = [
    *((method, "nasbench201", "torch") for method in METHODS),
    *(("darts", "nasbench201", precision) for precision in ("bf16", "fp64")),
    ("darts", "s2", "bf16"),
    ("pc-darts", "s4", "fp64"),
]
"""Method, space and precision; fp32 and tf32 take the same operators as torch's own choice of the two."""


@pytest.mark.parametrize(("method", "space", "precision"), STEPS)
def test_a_step_stays_on_the_device_in_its_types_and_waits_only_where_it_must(
    watch: Watch, few_digits: DataSet, monkeypatch: pytest.MonkeyPatch, method: str, space: str, precision: Precision
) -> None:
    monkeypatch.setattr(Adversarial.ascend, "__defaults__", (2,))
    training = training_of(few_digits, space, method, precision)
    training.decisions = few_undecided(training.supernet.cell_types)
    twice(lambda: step(training), watch)
    assert (watch.waits, watch.refused) == (WAITS.get(method, {GUARD: 2}), {})
    for name in ("rand", "slice", "lt"):  # The augmentation's flips are drawn in float32 at any precision.
        del watch.types[name]
    stored = dtype_of(precision)
    moments = [state for optimizer in optimizers(training) for state in optimizer.state.values()]
    kept = [*training.supernet.parameters(), *training.supernet.buffers(), *tree_leaves(moments)]
    kept += [weight.grad for weight in training.supernet.parameters() if weight.grad is not None]
    assert {tensor.dtype for tensor in kept if tensor.device == CUDA and tensor.is_floating_point()} == {stored}
    if precision == "bf16":
        assert {dtype for name in PRODUCTS for dtype in watch.types[name]} == {torch.bfloat16}
        assert watch.converting == BATCH_NORM
    else:
        assert set().union(*watch.types.values()) == {stored}
        assert watch.converting == set()


def optimizers(training: ImageTraining) -> tuple[torch.optim.Optimizer, ...]:
    return training.weight_optimizer, training.architect.optimizer


# Scores and evaluations ------------------------------------------------------------------------------------------

EVALUATE = "darts_pt.training.evaluate"


@pytest.mark.parametrize(
    ("space", "precision"), [("nasbench201", "torch"), ("nasbench201", "bf16"), ("s4", "torch"), ("s5", "bf16")]
)
def test_scoring_a_removal_waits_for_its_numbers_alone(
    watch: Watch, few_digits: DataSet, space: str, precision: Precision
) -> None:
    training = training_of(few_digits, space, "darts", precision)
    mixing = training.architect.mixing(few_undecided(training.supernet.cell_types))
    cell = training.supernet.cell_types[-1].name

    def decide() -> None:
        removals = [mixing.without_operation(cell, 2, 1), mixing.without_edge(cell, 2)]
        score(training.supernet, removals, lambda: islice(training.valid_batches(), 1))

    twice(decide, watch)
    assert (watch.waits, watch.refused) == ({EVALUATE: 2 * 2}, {})
    assert watch.converting == ({"native_batch_norm"} if precision == "bf16" else set())


@pytest.mark.parametrize("measured", [synflow, nwot])
def test_zero_cost_scores_wait_for_their_number_alone(
    watch: Watch, few_digits: DataSet, measured: Callable[..., float]
) -> None:
    training = training_of(few_digits, "nasbench201", "darts")
    images, _ = training.random_train_batch()
    twice(lambda: measured(training.supernet, training.architect.mixing(Decisions()), images), watch)
    assert (watch.waits, watch.refused) == ({f"darts_pt.selections.zero_cost_pt.{measured.__name__}": 1}, {})


def networks() -> Iterator[EvaluationNetwork]:
    yield NasBench201Network(operations_of(EXAMPLE), 4, 1, 10)
    yield SotaNetwork(published("darts_pt_s5_0"), 4, 3, 10, auxiliary=True)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_from_scratch_waits_once_a_step_and_once_a_test(
    watch: Watch, few_digits: DataSet, number: int, precision: Precision
) -> None:
    with on_the_cpu():
        network = list(networks())[number]
    options = TrainingOptions(
        epochs=2,
        batch_size=24,
        learning_rate=0.1,
        precision=precision,
        auxiliary_weight=0.4,
        drop_path_prob=0.2,
        top5=True,
    )
    training = NetworkTraining(network.to(CUDA), data_on_cuda(few_digits), Generators(0, CUDA), options)
    training.epoch = 1  # In which paths are dropped.
    batches = training.batches()[1]
    twice(lambda: training.step(next(batches)), watch)
    assert (watch.waits, watch.refused) == ({GUARD: 1}, {})
    assert watch.types["convolution"] == {torch.bfloat16 if precision == "bf16" else torch.float32}
    twice(training.test, watch)
    assert (watch.waits, watch.refused) == ({"darts_pt.evaluation.test": 1}, {})
