"""Run a supernet by the textbook formulation and write down what happens, in the format of docs/faithfulness.md."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import textbook
from darts_pt.supernet import CellType

SOURCE = "textbook formulation (benchmarks.textbook_record), not the authors' code"
Method = Literal["darts", "blank", "sdarts-rs", "sdarts-adv"]
Kept = dict[str, dict[int, int | None]]
"""Cell type -> edge -> the operation that it keeps, None if it was dropped."""


class SupernetRecorder:
    """Runs a supernet by the definitions and writes down what happens.

    Attributes:
        record: the record so far.
    """

    def __init__(self, space: str, method: Method = "darts", seed: int = 0, classes: int = 10, size: int = 8) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.cell_types: Sequence[CellType]
            self.cell_types, self.network = _textbook(space, classes)
            self.batches = [(torch.randn(2, 3, size, size).double(), torch.randint(classes, (2,))) for _ in range(6)]
            self.alpha = {
                cell.name: (1e-3 * torch.randn(len(cell.edges), len(cell.operations[0])).double()).requires_grad_()
                for cell in self.cell_types
            }
            values = {name: alpha.detach().softmax(-1) for name, alpha in self.alpha.items()}
            noise = _give_noise(self.network, self.batches[0][0], values) if space == "s4" else None
        self.method, self.generator = method, torch.Generator().manual_seed(seed)
        self.alpha_optimizer = torch.optim.Adam(self.alpha.values(), lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        self.record: dict[str, Any] = {
            "source": SOURCE,
            "config": {"space": space, "num_classes": classes, "batch": 2, "size": size},
            "method": method,
            "batches": self.batches,
            "state_dict": copy.deepcopy(self.network.state_dict()),
            "alpha": self.recorded(self.alpha),
        } | ({"noise": noise} if noise else {})

    def recorded(self, by_cell: Mapping[str, Any]) -> Any:
        """A copy of values per cell type; of NAS-Bench-201, which has one, the value itself."""
        copied = {name: copy.deepcopy(_plain(value)) for name, value in by_cell.items()}
        return copied if len(self.cell_types) > 1 else copied[self.cell_types[0].name]

    def mixing(self, kept: Kept) -> dict[str, Tensor]:
        """softmax(alpha) with the decided rows one-hot and the dropped ones 0."""
        values = {}
        for name, alpha in self.alpha.items():
            rows = list(alpha.softmax(-1))
            for edge, operation in kept.get(name, {}).items():
                rows[edge] = torch.zeros_like(rows[edge])
                if operation is not None:
                    rows[edge][operation] = 1.0
            values[name] = torch.stack(rows)
        return values

    def forward(self) -> None:
        images, labels = self.batches[0]
        network, self.network = self.network, copy.deepcopy(self.network)
        logits = self.network.train()(images, self.mixing({}))
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
        self.record["train_forward"] = {
            "logits": logits.detach(),
            "loss": loss.item(),
            "alpha_grad": self.recorded({name: alpha.grad for name, alpha in self.alpha.items()}),
            "weight_grad_norm": torch.cat([gradient.flatten() for gradient in gradients]).norm().item(),
        }
        with torch.no_grad():
            self.record["eval_forward"] = {"logits": self.network.eval()(images, self.mixing({}))}
        self.network = network

    def steps(self, pairs: list[tuple[int, int]], kept: Kept, lr: float = 0.025) -> list[dict[str, Any]]:
        """Bilevel steps with a new optimiser of the weights, on (train, valid) batches."""
        optimizer = torch.optim.SGD(self.network.parameters(), lr, momentum=0.9, weight_decay=3e-4)
        return [self._step(optimizer, train, valid, kept) for train, valid in pairs]

    def _step(self, optimizer: torch.optim.SGD, train: int, valid: int, kept: Kept) -> dict[str, Any]:
        self.network.train()
        if self.method != "blank":
            loss = self._loss(self.mixing(kept), valid)
            gradients = torch.autograd.grad(loss, list(self.alpha.values()), materialize_grads=True)
            for alpha, gradient in zip(self.alpha.values(), gradients, strict=True):
                alpha.grad = gradient
            self.alpha_optimizer.step()
        step: dict[str, Any] = {"train_batch": train, "valid_batch": valid}
        values = {name: rows.detach() for name, rows in self.mixing(kept).items()}
        step["mixing_weights"] = self.recorded(values)
        if self.method.startswith("sdarts"):
            key = {"sdarts-rs": "random", "sdarts-adv": "pgd"}[self.method]
            step[key], perturbed = self.perturbation(key, train, kept)
            values = _fixed(perturbed, values, kept)
        optimizer.zero_grad()
        loss = self._loss(values, train)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        optimizer.step()
        return step | {"alpha_after": self.recorded(self.alpha), "train_loss": loss.item()}

    def _loss(self, values: Mapping[str, Tensor], batch: int) -> Tensor:
        images, labels = self.batches[batch]
        return F.cross_entropy(self.network(images, dict(values)), labels)

    # Perturbations (Chen & Hsieh, ICML 2020) ---------------------------------------------------------------------

    def perturbation(self, key: str, batch: int, kept: Kept, start: bool = True) -> tuple[dict[str, Any], Any]:
        """SDARTS's perturbation, random or by ascent from a random start, and the mixing weights that it ends in."""
        epsilon = 0.3
        centre = {name: alpha.detach().softmax(-1) for name, alpha in self.alpha.items()}
        noise = {
            name: epsilon * (2 * torch.rand(rows.shape, generator=self.generator, dtype=rows.dtype) - 1)
            for name, rows in centre.items()
        }
        values = {name: _projected(rows + noise[name]) for name, rows in centre.items()} if start else centre
        given = {"epsilon": epsilon} | ({"noise": self.recorded(noise)} if start else {})
        if key == "random":
            return given, values
        fixed = {name: rows.detach() for name, rows in self.mixing(kept).items()}
        self.network.eval()

        def loss_at(values: Mapping[str, Tensor]) -> Tensor:
            return self._loss(_fixed(values, fixed, kept), batch)

        for _ in range(7):
            leaves = {name: rows.detach().clone().requires_grad_() for name, rows in values.items()}
            gradients = torch.autograd.grad(loss_at(leaves), list(leaves.values()), materialize_grads=True)
            values = {}
            for (name, rows), gradient in zip(leaves.items(), gradients, strict=True):
                moved = rows.detach() + 2 * epsilon / 7 * gradient.sign() - centre[name]
                values[name] = _projected(centre[name] + moved.clamp(-epsilon, epsilon))
        with torch.no_grad():
            values = values if loss_at(values) > loss_at(centre) else centre
        self.network.train()
        return given | {"steps": 7, "random_start": start}, values

    def perturbations(self) -> None:
        """Both, from the weights after the steps."""
        self.network.load_state_dict(self.record["state_dict_after_steps"])
        self.record["alpha_at_perturbation"] = self.recorded(self.alpha)
        for key in ("random", "pgd"):
            given, values = self.perturbation(key, 0, {}, start=key == "random")
            self.record[key] = given | {"batch": 0, "perturbed_weights": self.recorded(values)}

    # Selection ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def score(self, kept: Kept, cell: CellType, removed: tuple[int, int | slice]) -> Tensor:
        """[accuracy, loss] over the last three batches in train mode, with one weight (or one edge's) set to 0.

        The running statistics stay as they are, unlike the original's: only an adversary in a later step would see them.
        """
        values = self.mixing(kept)
        values[cell.name][removed] = 0.0
        norms = [module for module in self.network.train().modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 0.0
        logits = torch.cat([self.network(images, values) for images, _ in self.batches[3:]])
        for norm in norms:
            norm.momentum = 0.1
        labels = torch.cat([labels for _, labels in self.batches[3:]])
        accuracy = 100 * (logits.argmax(1) == labels).double().mean()
        return torch.stack([accuracy, F.cross_entropy(logits, labels)])

    def operation_scores(self, kept: Kept, edges: list[int]) -> Any:
        """[edges, operations, 2] of every cell type, as recorded."""
        scores = {
            cell.name: torch.stack([self.score_operations(kept, cell, edge) for edge in edges])
            for cell in self.cell_types
        }
        return self.recorded(scores)

    def score_operations(self, kept: Kept, cell: CellType, edge: int) -> Tensor:
        return torch.stack([self.score(kept, cell, (edge, place)) for place in range(len(cell.operations[edge]))])

    def operation_event(self, kept: Kept, cell: CellType, edge: int) -> dict[str, Any]:
        """The operation whose removal leaves the lowest accuracy is kept, on ties the first."""
        scores = self.score_operations(kept, cell, edge)
        best = min(range(len(scores)), key=lambda place: (scores[place, 0].item(), place))
        kept[cell.name][edge] = best
        return {"cell_type": cell.name, "valid_batches": [3, 4, 5], "edge": edge, "scores": scores, "kept": best}

    def topology_event(self, kept: Kept, cell: CellType, edges: list[int]) -> dict[str, Any]:
        """Drop edges until two remain: each time the one whose removal leaves the highest accuracy, on ties the last.

        Edges dropped before are present again while the next is scored.
        """
        rounds, remaining = [], list(edges)
        while len(remaining) > 2:
            scores = {edge: self.score(kept, cell, (edge, slice(None))) for edge in remaining}
            rounds.append(scores)
            remaining.remove(max(remaining, key=lambda edge: (scores[edge][0].item(), edge)))
        for edge in set(edges) - set(remaining):
            kept[cell.name][edge] = None
        return {"cell_type": cell.name, "valid_batches": [3, 4, 5], "rounds": rounds, "kept": remaining}

    def selection(self, every: int) -> None:
        """Operation events of one in `every` edges, each with two tuning steps, then the topology events."""
        kept: Kept = {cell.name: {} for cell in self.cell_types}
        events = []
        for cell in self.cell_types:
            for edge in list(reversed(range(len(cell.edges))))[::every]:
                event = self.operation_event(kept, cell, edge)
                events.append(event | {"tune_steps": self.steps([(1, 4), (2, 5)], kept, lr=0.0025)})
        for cell in self.cell_types:
            events += [self.topology_event(kept, cell, list(cell.incoming[node])) for node in cell.choosing_nodes]
        self.record["events"] = events


def _plain(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _textbook(space: str, classes: int) -> tuple[Sequence[CellType], nn.Module]:
    if space == "nasbench201":
        from nasbench201.cell_plan import CELL

        return (CELL,), textbook.TextbookNasBench201(CELL, 2, 1, classes, skips_zero=True).double()
    from sota.spaces import cell_types

    cells = cell_types(space)
    return cells, textbook.TextbookSota(cells, 2, 3, classes, skips_zero=True).double()


def _give_noise(network: nn.Module, images: Tensor, values: Mapping[str, Tensor]) -> list[list[Tensor]]:
    """Make every operation noise return one map of its own from now on: the maps, by cell and edge."""
    given = []
    for cell in network.cells:  # type: ignore[union-attr]
        modules = [module for module in cell.modules() if isinstance(module, textbook.Noise)]
        maps = _outputs(modules, lambda: network.eval()(images, values))
        for module, noise in zip(modules, maps, strict=True):
            module.forward = lambda inputs, noise=noise: noise  # type: ignore[method-assign]
        given.append(maps)
    return given


def _outputs(modules: list[Any], run: Callable[[], Any]) -> list[Tensor]:
    """The output of each module while `run` runs the network."""
    found: dict[int, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda module, inputs, output, place=place: found.update({place: output}))
        for place, module in enumerate(modules)
    ]
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()
    return [found[place] for place in range(len(modules))]


def _fixed(values: Mapping[str, Tensor], fixed: Mapping[str, Tensor], kept: Kept) -> dict[str, Tensor]:
    """`values` with the rows of decided edges from `fixed`."""
    return {
        name: torch.stack([fixed[name][edge] if edge in kept.get(name, {}) else row for edge, row in enumerate(rows)])
        for name, rows in values.items()
    }


def _projected(rows: Tensor) -> Tensor:
    """Every row within [0, 1] with sum 1; one without a positive weight becomes one-hot at its former maximum."""
    result = []
    for row in rows:
        clipped = row.clamp(0, 1)
        result.append(clipped / clipped.sum() if clipped.any() else F.one_hot(row.argmax(), len(row)).to(row))
    return torch.stack(result)
