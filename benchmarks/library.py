"""The overhead of the library: a search with darts_pt.search against a hand-written loop over the same modules.

    python -m benchmarks.library

Six choices between a skip connection and three convolutions, 16 channels, batches of 32 images of 16x16 pixels: small, so
that what the library adds weighs the most. Both take the same first-order bilevel steps and evaluate after each epoch.
Three epochs each, in turn; medians of the processor time with one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import darts_pt
from benchmarks.measuring import in_turn
from darts_pt.hyperparameters import AlphaOptions, WeightOptions

CHANNELS, CHOICES, EPOCHS, REPEATS = 16, 6, 3, 5
Batches = list[tuple[Tensor, Tensor]]


def candidates() -> dict[str, nn.Module]:
    def conv(size: int) -> nn.Module:
        convolution = nn.Conv2d(CHANNELS, CHANNELS, size, padding=size // 2, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU())

    return {"skip": nn.Identity(), **{f"conv{size}": conv(size) for size in (1, 3, 5)}}


def network(layer: Callable[[int], nn.Module]) -> nn.Module:
    end = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10)
    return nn.Sequential(nn.Conv2d(3, CHANNELS, 3, padding=1), *map(layer, range(CHOICES)), *end)


class Mixed(nn.Module):
    """As one writes it by hand: the sum of all candidates, weighted by a row of `rows`, which a step replaces."""

    def __init__(self, rows: dict[str, Tensor], index: int) -> None:
        super().__init__()
        self.candidates = nn.ModuleList(candidates().values())
        self.rows, self.index = rows, index

    def forward(self, x: Tensor) -> Tensor:
        weights = self.rows["weights"][self.index]
        return sum((w * one(x) for w, one in zip(weights, self.candidates, strict=True)), start=torch.zeros(()))


def by_hand(train: Batches, valid: Batches) -> None:
    rows: dict[str, Tensor] = {}
    model, alpha = network(lambda index: Mixed(rows, index)), (1e-3 * torch.randn(CHOICES, 4)).requires_grad_()
    options, of_alpha = WeightOptions(batch_size=32), AlphaOptions()
    weights = [*model.parameters()]
    optimizer = torch.optim.SGD(
        weights, options.learning_rate, momentum=options.momentum, weight_decay=options.weight_decay
    )
    alpha_optimizer = torch.optim.Adam(
        [alpha], of_alpha.arch_learning_rate, (0.5, 0.999), weight_decay=of_alpha.arch_weight_decay
    )
    for_alpha = cycle(valid)
    for _ in range(EPOCHS):
        model.train()
        for images, labels in train:
            valid_images, valid_labels = next(for_alpha)
            rows["weights"] = alpha.softmax(dim=-1)
            (alpha.grad,) = torch.autograd.grad(F.cross_entropy(model(valid_images), valid_labels), [alpha])
            alpha_optimizer.step()
            rows["weights"] = alpha.softmax(dim=-1).detach()
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, options.grad_clip)
            optimizer.step()
            loss.item()
        model.eval()
        with torch.no_grad():
            for images, labels in valid:
                logits = model(images)
                F.cross_entropy(logits, labels).item()
                (logits.argmax(dim=1) == labels).sum().item()


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(32, 3, 16, 16, generator=generator), torch.randint(10, (32,), generator=generator))
        for _ in range(12)
    ]
    train, valid = batches[:8], batches[8:]

    def library() -> None:
        darts_pt.search(network(lambda _: darts_pt.MixedOperation(candidates())), train, valid, EPOCHS, quiet=True)

    ours, theirs = in_turn(library, lambda: by_hand(train, valid), REPEATS, 600, torch.device("cpu"))
    print(f"library {ours.processor:.2f} s, by hand {theirs.processor:.2f} s: {ours.processor / theirs.processor:.3f}")


if __name__ == "__main__":
    main()
