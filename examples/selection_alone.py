"""PT on a network whose alpha came from elsewhere: a training loop of your own, or a file of another project.

python examples/selection_alone.py
"""

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import darts_pt

WIDTH = 24


class Elsewhere(nn.Module):
    """A supernet of another project: it keeps its alpha as a parameter, and mixes its layers by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(13, WIDTH), nn.Linear(WIDTH, 3)
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.Identity(), nn.Linear(WIDTH, WIDTH), nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())])
            for _ in range(3)
        )
        self.alpha = nn.Parameter(1e-3 * torch.randn(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer, row in zip(self.layers, self.alpha.softmax(dim=-1), strict=True):
            x = sum(weight * operation(x) for weight, operation in zip(row, layer, strict=True))
        return self.head(x)


def as_choices(theirs: Elsewhere) -> nn.Module:
    """The same layers, with their weights, as choices."""
    names = ("skip", "linear", "relu")
    choices = [
        darts_pt.MixedOperation(dict(zip(names, layer, strict=True)), name=f"layer {index}")
        for index, layer in enumerate(theirs.layers)
    ]
    return nn.Sequential(theirs.stem, *choices, theirs.head)


def main() -> None:
    data = load_wine()
    x, y = torch.tensor(data.data).float(), torch.tensor(data.target)
    x = (x - x.mean(0)) / x.std(0)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, valid = (
        DataLoader(TensorDataset(x[half], y[half]), batch_size=16, shuffle=True) for half in (order[:89], order[89:])
    )
    torch.manual_seed(0)
    theirs = Elsewhere()
    optimizer = torch.optim.Adam(theirs.parameters(), 3e-3)
    for _ in range(20):
        for inputs, labels in train:
            optimizer.zero_grad()
            F.cross_entropy(theirs(inputs), labels).backward()
            optimizer.step()

    model = as_choices(theirs)
    alpha = {f"layer {index}": row for index, row in enumerate(theirs.alpha.detach())}
    result = darts_pt.select(model, train, valid, start=alpha, method="blank", interval=2, criterion="loss")
    print(result)
    print(darts_pt.derive(model, result))


if __name__ == "__main__":
    main()
