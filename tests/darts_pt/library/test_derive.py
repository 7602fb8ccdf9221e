"""The derived network: what it computes, that it can be exported, and a model of torchvision from search to network."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

import darts_pt
from darts_pt.library.derive import KeptInputs
from tests.helpers.library.small_models import QUIET, WIDTH, Node, choice, data, mlp, search, select, tensors


class MixedInNode(nn.Module):
    """A choice inside a candidate of another."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Linear(WIDTH, WIDTH), choice("inner"))
        self.outer = darts_pt.MixedOperation({"plain": nn.Identity(), "deep": inner}, "outer")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(x)


def test_what_is_derived_computes_what_the_decided_supernet_does_and_exports() -> None:
    model = mlp(choice(), Node("n"), MixedInNode(), Node("n"))
    search(model)
    result = select(model)
    before = tensors(model)
    network = darts_pt.derive(model, result)
    x, _ = data()
    model.eval(), network.eval()
    torch.testing.assert_close(network(x), model(x))
    assert not any(isinstance(module, darts_pt.MixedOperation | darts_pt.MixedInputs) for module in network.modules())
    assert sum(isinstance(module, KeptInputs) for module in network.modules()) == 2
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    assert all(map(torch.equal, before, tensors(model)))
    program = torch.export.export(network, (x,))
    torch.testing.assert_close(program.module()(x), network(x))
    copy.deepcopy(model)


@pytest.mark.parametrize("partial", [1, 2])
def test_what_is_derived_runs_in_onnx(tmp_path: Path, partial: int) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = mlp(choice(partial_channels=partial), Node("n", partial_channels=partial))
    search(model, method="pc-darts" if partial > 1 else "darts")
    network = darts_pt.derive(model, select(model)).eval()
    x, _ = data()
    torch.onnx.export(network, (x,), tmp_path / "network.onnx", dynamo=True)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), network(x), rtol=1e-5, atol=1e-5)


def test_in_place_activations_after_a_kept_skip_do_not_change_what_others_read() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixed, self.relu = choice("m"), nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.mixed(x)) + x

    model = mlp(Residual())
    result = select(model, selection="magnitude", start={"m": [1.0, 0.0, 0.0]})
    assert result.decisions == {"m": "skip"}
    x, _ = data()
    torch.testing.assert_close(darts_pt.derive(model, result).eval()(x), model.eval()(x))


def test_resnet_with_kernels_to_choose_from() -> None:
    """A model outside this project: torchvision's ResNet-18 on 32-pixel images, all its 3x3 convolutions replaced."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10)
    for block in (block for stage in (model.layer1, model.layer2, model.layer3, model.layer4) for block in stage):
        for name in ("conv1", "conv2"):
            old = getattr(block, name)
            kernels = {
                f"conv{k}": nn.Conv2d(old.in_channels, old.out_channels, k, old.stride, k // 2, bias=False)
                for k in (1, 3, 5)
            }
            setattr(block, name, darts_pt.MixedOperation(kernels))
    batches = [(torch.randn(2, 3, 32, 32), torch.randint(10, (2,)))]
    darts_pt.search(model, batches, batches, epochs=1, **QUIET)
    result = darts_pt.select(model, batches, batches, interval=1, criterion="loss", **QUIET)
    assert len(result.events) == 16
    assert not any(isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) for module in bare(model))
    network = darts_pt.derive(model, result).eval()
    torch.testing.assert_close(network(batches[0][0]), model.eval()(batches[0][0]))


def bare(model: nn.Module) -> list[nn.Module]:
    """The modules that are not inside a choice."""
    inside = [set(module.modules()) for module in model.modules() if isinstance(module, darts_pt.MixedOperation)]
    return [module for module in model.modules() if not any(module in modules for modules in inside)]
