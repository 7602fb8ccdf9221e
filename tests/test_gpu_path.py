"""The way through a GPU, checked where there is none: on fake CUDA tensors, which have shapes, types and devices.

What would break or slow down a GPU and nobody sees on a CPU: tensors of both devices in one operator, numbers that the host
reads in a step, a type that is not meant. Real GPUs have their own tests (`tests/darts_pt/kernels/test_passes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from darts_pt.data.augmentation import Augmentation
from darts_pt.data.data_set import DataSet
from darts_pt.data.halves import halves
from darts_pt.evaluation import EvaluationNetwork, NetworkTraining
from darts_pt.hyperparameters import AlphaOptions, Precision, TrainingOptions, WeightOptions
from darts_pt.image_training import Halves, ImageTraining
from darts_pt.library.building import training_of as own_training
from darts_pt.methods import METHODS
from darts_pt.methods.sdarts_adv import Adversarial
from darts_pt.run.device import Generators, dtype_of
from darts_pt.selection import Criteria
from darts_pt.selections import SELECTIONS
from darts_pt.selections.pt import score
from darts_pt.selections.zero_cost_pt import nwot, synflow
from darts_pt.supernet import CellType, Decisions, initial_alpha
from darts_pt.training import sgd
from nasbench201.architecture import EXAMPLE, operations_of
from nasbench201.network import NasBench201Network
from sota.genotypes import published
from sota.network import ImageNetNetwork, SotaNetwork
from tests.helpers.fake_cuda import CAN_BE_FAKED, CUDA, Watch, fake_cuda, on_the_cpu
from tests.helpers.library.small_models import Node, choice, mlp
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


# Steps -----------------------------------------------------------------------------------------------------------


STEPS: list[tuple[str, str, Precision]] = [
    *((method, "nasbench201", "torch") for method in METHODS),
    *(("darts", "nasbench201", precision) for precision in ("bf16", "fp64")),
    ("darts", "s2", "bf16"),
    ("pc-darts", "s4", "fp64"),
    *((method, "s3", "torch") for method in METHODS if method not in ("darts", "pc-darts")),
    ("darts", "s1", "torch"),
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
    waits = WAITS.get(method, {GUARD: 2})
    cells = len(training.supernet.cell_types)
    assert watch.waits == {where: count * (cells if where == COMPUTED else 1) for where, count in waits.items()}
    assert watch.refused == {}
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


def test_a_step_on_large_maps_stays_on_the_device(
    watch: Watch, few_digits: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sota.cells.cell.STACKED_UP_TO", 0)
    training = training_of(few_digits, "s2", "darts")
    training.decisions = few_undecided(training.supernet.cell_types)
    twice(lambda: step(training), watch)
    assert (watch.waits, watch.refused, watch.converting) == ({GUARD: 2}, {}, set())


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


DECISIONS = [
    ("magnitude", "operation", {"darts_pt.selections.magnitude.operation": 1}),
    ("pt-mag", "edges", {"darts_pt.selections.magnitude.edges": 3 * 2}),
    ("pt", "operation", {EVALUATE: 2 * 2}),
    ("pt", "edges", {EVALUATE: 3 * 2}),
    ("oneshot", "operation", {EVALUATE: 2 * 2}),
    ("zero-cost-pt", "operation", {"darts_pt.selections.zero_cost_pt.nwot": 2}),
]
"""Selection, what it decides between (the two operations of an edge, the three incoming edges of a node), and its waits."""


@pytest.mark.parametrize(("selection", "what", "waits"), DECISIONS)
def test_a_decision_waits_for_what_it_compares(
    watch: Watch, few_digits: DataSet, selection: str, what: str, waits: dict[str, int]
) -> None:
    training = training_of(few_digits, "s2", "darts")
    training.fast = True
    cell, declared = training.supernet.cell_types[0], SELECTIONS[selection]
    criteria = Criteria({cell.name: "loss"}, {cell.name: "acc"})
    rule = declared.load()(training, criteria, {**declared.defaults, "zero_cost_score": "nwot"})
    decide, decisions = getattr(rule, what), few_undecided(training.supernet.cell_types)
    twice(lambda: decide(training.architect, decisions, cell, 3), watch)
    assert (watch.waits, watch.refused) == (waits, {})


# Models of one's own ---------------------------------------------------------------------------------------------

WAITS_OF_ONES_OWN = {"darts_pt.library.training.moved": 3 * 2, GUARD: 2}
"""Those of a step and a score on batches that lie on the host."""


@pytest.mark.parametrize(("loss", "method"), [(F.cross_entropy, "darts"), (F.mse_loss, "gdas")])
def test_a_model_of_ones_own_waits_for_its_batches_too(watch: Watch, loss: Callable[..., Tensor], method: str) -> None:
    """Its batches come from the host; where the loss is no cross-entropy there is nothing that is correct or not."""
    with on_the_cpu():
        inputs, labels = torch.zeros(8, 4), torch.zeros(8, dtype=torch.int64)
        batches = [(inputs, labels if loss is F.cross_entropy else torch.zeros(8, 2))]
        model = mlp(Node("sum"), choice("a"))
    training = own_training(
        model, batches, batches, loss=loss, method=method, settings={}, weights=WeightOptions(batch_size=8),
        alpha=AlphaOptions(), optimizer=None, on_nan="stop", seed=0, device=CUDA,
    )  # fmt: skip

    def step_and_score() -> None:
        training.step(next(iter(training.train)))
        score(training.supernet, [training.architect.mixing(Decisions())], training.valid_batches)

    with training.model_supernet.in_use(lambda: training.architect.mixing(Decisions())):
        twice(step_and_score, watch)
        waits, measured = dict(watch.waits), 2 if loss is F.cross_entropy else 1
    sampled = {COMPUTED: 2 * 2} if method == "gdas" else {}
    assert (waits, watch.refused) == (WAITS_OF_ONES_OWN | {EVALUATE: measured} | sampled, {})


# Trainings -------------------------------------------------------------------------------------------------------


def networks() -> Iterator[EvaluationNetwork]:
    yield NasBench201Network(operations_of(EXAMPLE), 4, 1, 10)
    yield SotaNetwork(published("darts_pt_s5_0"), 4, 3, 10, auxiliary=True)
    yield ImageNetNetwork(published("darts_pt_s5_0"), 4, 3, 10, auxiliary=True)


def in_size_of_imagenet(data: DataSet) -> DataSet:
    """Which costs nothing: there are no pixels."""
    larger = [replace(images, pixels=images.pixels.repeat(1, 1, 28, 28)) for images in (data.train, data.test)]
    return replace(data, train=larger[0], test=larger[1])


@pytest.mark.parametrize(("number", "precision"), [(0, "fp32"), (0, "bf16"), (1, "fp32"), (1, "bf16"), (2, "bf16")])
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
    data = data_on_cuda(few_digits)
    data = in_size_of_imagenet(data) if isinstance(network, ImageNetNetwork) else data
    training = NetworkTraining(network.to(CUDA), data, Generators(0, CUDA), options)
    training.epoch = 1  # In which paths are dropped.
    batches = training.batches()[1]
    twice(lambda: training.step(next(batches)), watch)
    assert (watch.waits, watch.refused) == ({GUARD: 1}, {})
    assert watch.types["convolution"] == {torch.bfloat16 if precision == "bf16" else torch.float32}
    twice(training.test, watch)
    assert (watch.waits, watch.refused) == ({"darts_pt.evaluation.test": 1}, {})
