"""An MLP on tabular data: classification (breast cancer), then regression (diabetes) with a criterion of its own.

python examples/tabular.py
"""

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import darts_pt


def layer(width: int) -> darts_pt.MixedOperation:
    return darts_pt.MixedOperation(
        {
            "skip": nn.Identity(),
            "relu": nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()),
            "tanh": nn.Sequential(nn.Linear(width, width), nn.Tanh()),
            "dropout": nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.3)),
        }
    )


def mlp(inputs: int, outputs: int, width: int = 32) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), layer(width), layer(width), layer(width), nn.Linear(width, outputs))


def parts(x: torch.Tensor, y: torch.Tensor) -> tuple[DataLoader, DataLoader, tuple[torch.Tensor, torch.Tensor]]:
    """Batches of the train half and of the valid half, and the test set (a fifth)."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x = (x - x.mean(0)) / x.std(0)
    cut = len(x) * 2 // 5
    train, valid, test = order[:cut], order[cut : 2 * cut], order[2 * cut :]
    loaders = [DataLoader(TensorDataset(x[half], y[half]), batch_size=32, shuffle=True) for half in (train, valid)]
    return loaders[0], loaders[1], (x[test], y[test])


def classification() -> None:
    data = load_breast_cancer()
    train, valid, (x, y) = parts(torch.tensor(data.data).float(), torch.tensor(data.target))
    torch.manual_seed(0)
    model = mlp(x.shape[1], 2)
    darts_pt.search(model, train, valid, epochs=15)
    result = darts_pt.select(model, train, valid, interval=3)
    network = darts_pt.derive(model, result).eval()
    print(result)
    print(f"test accuracy {100 * (network(x).argmax(1) == y).float().mean():.1f} %")


def mean_absolute_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return -(outputs - targets).abs().mean()  # The higher the better.


def regression() -> None:
    data = load_diabetes()
    target = torch.tensor(data.target).float()[:, None]
    mean, std = target.mean(), target.std()
    train, valid, (x, y) = parts(torch.tensor(data.data).float(), (target - mean) / std)
    torch.manual_seed(0)
    model = mlp(x.shape[1], 1)
    darts_pt.search(model, train, valid, epochs=15, loss=F.mse_loss, learning_rate=0.01)
    result = darts_pt.select(model, train, valid, interval=3, loss=F.mse_loss, criterion=mean_absolute_error)
    network = darts_pt.derive(model, result).eval()
    print(result)
    print(f"test error {std * (network(x) - y).abs().mean():.1f}, of the mean alone {std * y.abs().mean():.1f}")


if __name__ == "__main__":
    classification()
    regression()
