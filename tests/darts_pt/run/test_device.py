"""Devices, and randomness from named streams."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from darts_pt.run import device as devices
from darts_pt.run.device import Generators, pick_device, seeded, stream_seed, use_precision
from darts_pt.run.errors import UserError


def fake_gpus(monkeypatch: pytest.MonkeyPatch, memory: list[float]) -> list[torch.device]:
    """As if there were GPUs with that much memory in use; returns those that become the current one, in turn."""
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(memory))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(memory))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Model {index}")
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(devices, "_memory_in_use", lambda count: memory)
    return current


def test_the_cpu_is_picked_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(monkeypatch, [])
    assert pick_device("auto") == torch.device("cpu")
    assert pick_device("cpu") == torch.device("cpu")


def test_the_least_used_gpu_is_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(monkeypatch, [5e9, 1e9, 3e9])
    assert pick_device("auto") == torch.device("cuda", 1)
    assert pick_device("2") == torch.device("cuda", 2)
    assert pick_device("cpu") == torch.device("cpu")


def test_the_picked_gpu_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or CUDA graphs would be recorded on GPU 0, while the kernels run elsewhere."""
    current = fake_gpus(monkeypatch, [5e9, 1e9, 3e9])
    picked = [pick_device("auto"), pick_device("2"), pick_device("0")]
    for name, value in {"RANK": 2, "WORLD_SIZE": 3, "LOCAL_RANK": 2, "LOCAL_WORLD_SIZE": 3, "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    picked.append(pick_device("auto"))
    assert [device.index for device in picked] == [1, 2, 0, 2]
    assert current == picked
    pick_device("cpu")
    assert current == picked


@pytest.mark.parametrize("asked", ["3", "-1", "", "cuda", "0,1", "1.5", "AUTO"])
def test_other_devices_are_refused_with_what_there_is(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    fake_gpus(monkeypatch, [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match=r"this machine has GPU 0 \(Model 0\), 1 \(Model 1\), 2 \(Model 2\)"):
        pick_device(asked)
    fake_gpus(monkeypatch, [])
    with pytest.raises(UserError, match="no usable GPU"):
        pick_device(asked)


def test_memory_in_use_falls_back_on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(index: int) -> tuple[int, int]:
        if index == 1:
            raise RuntimeError("in exclusive use")
        return 10 - index, 20

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", refuses)
    assert devices._memory_in_use(3) == [10.0, float("inf"), 12.0]


def test_streams_depend_on_seed_and_name_alone() -> None:
    first, second = Generators(3, "cpu"), Generators(3, "cpu")
    second["other"].seed()
    assert first["batches"] is first["batches"]
    expected = torch.rand(5, generator=first["batches"])
    assert torch.equal(torch.rand(5, generator=second["batches"]), expected)
    for seed, name in ((3, "order"), (4, "batches")):
        assert not torch.equal(torch.rand(5, generator=Generators(seed, "cpu")[name]), expected)


def test_seeds_of_streams_never_change() -> None:
    """Or old runs could not be repeated with new code."""
    assert stream_seed(1, "weights") == 5164344575451445340
    assert all(0 <= stream_seed(seed, "weights") < 2**63 for seed in range(200))


def test_streams_are_restored_exactly() -> None:
    generators = Generators(0, "cpu")
    torch.rand(3, generator=generators["batches"])
    state = generators.state()
    expected = torch.rand(4, generator=generators["batches"])
    unused = torch.rand(4, generator=generators["order"])
    handed_out = generators["batches"]
    generators.restore(state)
    assert torch.equal(torch.rand(4, generator=handed_out), expected)
    assert torch.equal(torch.rand(4, generator=generators["order"]), unused), "it had not been used then"
    fresh = Generators(0, "cpu")
    fresh.restore(state)
    assert torch.equal(torch.rand(4, generator=fresh["batches"]), expected)


def test_a_state_is_not_changed_by_what_is_drawn_later() -> None:
    generators = Generators(0, "cpu")
    torch.rand(3, generator=generators["batches"])
    state = generators.state()
    copy = state["batches"].clone()
    torch.rand(1000, generator=generators["batches"])
    assert torch.equal(state["batches"], copy)


def test_the_state_of_another_device_is_refused() -> None:
    cuda_state = torch.zeros(16, dtype=torch.uint8)
    with pytest.raises(UserError, match="another kind of device"):
        Generators(0, "cpu").restore({"batches": cuda_state})


def test_weights_come_from_their_stream_and_the_global_state_is_left_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    layers = []
    for seed in (1, 1, 2):
        with seeded(Generators(seed, "cpu")["weights"]):
            layers.append(nn.Linear(4, 4).weight)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(layers[0], layers[1])
    assert not torch.equal(layers[0], layers[2])


def test_precisions_set_torchs_switches() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    try:
        for precision, convolutions, products in (
            ("torch", True, "highest"),
            ("fp32", False, "highest"),
            ("tf32", True, "high"),
            ("bf16", False, "highest"),
            ("fp64", False, "highest"),
        ):
            use_precision(precision)  # type: ignore[arg-type]
            assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == (convolutions, products)
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])
