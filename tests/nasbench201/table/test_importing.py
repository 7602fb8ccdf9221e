"""Importing published files: small ones of the same formats, made with the packages' own classes."""

from __future__ import annotations

import bz2
import hashlib
import io
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from darts_pt.run.errors import UserError
from nasbench201.table import Table, find_table, isomorphism, lookup, published
from nasbench201.table.importing import import_file
from nasbench201.table.unpickler import Memo, StreamingUnpickler

NUMBERS = (7, 4321, 15000)
ARCHITECTURES = [isomorphism.architecture_at(number) for number in NUMBERS]
SETS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
LONG = 20
"""Epochs of the larger budget: the published files have 200; the reader goes by what a training says of itself."""


def content(package: Any, budgets: dict[str, int], shared: bool = False) -> dict[str, Any]:
    """The content of a published file, with random results; `shared`: one dict of losses for all trainings."""
    draw = random.Random(0)
    same = dict.fromkeys(range(LONG), 0.5)
    infos: dict[int, dict[str, Any]] = {}
    for index, architecture in enumerate(ARCHITECTURES):
        infos[index] = {}
        for budget, epochs in budgets.items():
            results = package.ArchResults(index, architecture)
            for dataset, sets in SETS.items():
                for seed in (777, 888)[: 1 + index % 2]:
                    config = {"channel": 16, "num_cells": 5, "arch_str": architecture, "class_num": 10}
                    weights = {"stem.0.weight": torch.ones(2, 2)} if index == 0 else None
                    costs = np.float64(0.5), np.float64(70.25)
                    training = package.ResultsCount(dataset, weights, {}, {}, *costs, config, seed, epochs, None)
                    training.update_train_info(
                        {epoch: draw.uniform(10, 100) for epoch in range(epochs)},
                        dict.fromkeys(range(epochs), 99.0),
                        same if shared else {epoch: draw.random() for epoch in range(epochs)},
                        dict.fromkeys(range(epochs), 1.5),
                    )
                    keys = [f"{name}@{epoch}" for name in sets for epoch in range(epochs)]
                    training.update_eval(
                        {key: draw.uniform(10, 100) for key in keys},
                        {key: draw.random() for key in keys},
                        dict.fromkeys(keys, 0.1),
                    )
                    training.update_latency([0.01])
                    results.update(dataset, seed, training)
            infos[index][budget] = results.state_dict()
    return {"meta_archs": ARCHITECTURES, "arch2infos": infos, "evaluated_indexes": list(range(len(ARCHITECTURES)))}


@pytest.fixture(scope="module")
def nas_bench_201() -> dict[str, Any]:
    from nas_201_api import api_utils

    return content(api_utils, {"less": 12, "full": LONG})


def agrees_with_its_own_api(opened: Table, api: Any, budgets: dict[str, int]) -> None:
    """Every accuracy and loss, as means over the seeds, against what the package says of the same content."""
    compared = 0
    for number, architecture in zip(NUMBERS, ARCHITECTURES, strict=True):
        for budget, epochs in budgets.items():
            for dataset in SETS:
                theirs = api.get_more_info(architecture, dataset, hp=budget, is_random=False)
                for split in ("train", "valid", "test"):
                    for metric in ("accuracy", "loss"):
                        value = theirs.get(f"{split}-{metric}")
                        ours = opened.values(dataset.lower(), f"{split}_{metric}", epochs)[number]
                        if value is None or (dataset == "cifar10" and split == "valid"):
                            assert ours != ours
                        else:
                            assert ours == pytest.approx(value, rel=1e-12)
                            compared += 1
                seconds = opened.values(dataset.lower(), "seconds", epochs)[number]
                assert seconds == pytest.approx(theirs["train-all-time"])
                assert opened.cost(dataset.lower(), "parameters")[number] == pytest.approx(0.5e6)
    assert compared == 3 * 2 * 2 * (3 + 2 + 3 + 3)


@pytest.mark.parametrize("zipped", [True, False])
def test_pth_files_say_what_their_package_says(nas_bench_201: dict[str, Any], tmp_path: Path, zipped: bool) -> None:
    """Both of torch's file formats."""
    from nas_201_api import NASBench201API

    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    torch.save(nas_bench_201, path, _use_new_zipfile_serialization=zipped)
    import_file(path, tmp_path / "table.npz")
    opened = Table(tmp_path / "table.npz")
    published._load(path, lambda *_: None, forgets=True)  # one pass in little memory is enough, weights or not
    assert opened.seeds("cifar10") == ["777", "888"]
    agrees_with_its_own_api(opened, NASBench201API(nas_bench_201, verbose=False), {"12": 12, "200": LONG})


@pytest.mark.parametrize("folder", [True, False])
def test_nats_bench_says_what_its_package_says(tmp_path: Path, folder: bool) -> None:
    from nats_bench import api_utils
    from nats_bench.api_topology import NATStopology

    whole = content(api_utils, {"12": 12, "200": LONG})
    source = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    if folder:
        source.mkdir()
        api_utils.pickle_save({"meta_archs": ARCHITECTURES}, source / "meta.pickle")
        for index, infos in whole["arch2infos"].items():
            api_utils.pickle_save(infos, source / f"{index:06d}.pickle")
    else:
        source = source.with_name("NATS-tss-v1_0-3ffb9.pickle.pbz2")
        api_utils.pickle_save(whole, source, ext="")
    import_file(source, tmp_path / "table.npz")
    agrees_with_its_own_api(Table(tmp_path / "table.npz"), NATStopology(whole, verbose=False), {"12": 12, "200": LONG})


def test_objects_shared_between_trainings_are_read_right(tmp_path: Path) -> None:
    from nas_201_api import NASBench201API, api_utils

    whole = content(api_utils, {"less": 12, "full": LONG}, shared=True)
    torch.save(whole, tmp_path / "shared.pth")
    import_file(tmp_path / "shared.pth", tmp_path / "table.npz")
    api = NASBench201API(whole, verbose=False)
    agrees_with_its_own_api(Table(tmp_path / "table.npz"), api, {"12": 12, "200": LONG})


def test_memory_does_not_grow_with_the_file() -> None:
    """Of one training after another piecewise reading keeps names, and nothing else."""
    kept = []
    for count in (2, 20):
        trainings = [
            {"name": f"n{index}", "accuracies": {f"x@{epoch}": 1.5 for epoch in range(50)}} for index in range(count)
        ]
        memo = Memo(forgets=True)
        stream = io.BytesIO(pickle.dumps(trainings, protocol=2))
        StreamingUnpickler(stream, lambda value: "accuracies" in value, memo).load()
        kept.append(dict.__len__(memo))
    assert kept[1] - kept[0] == 18  # the name of each; not its 50 keys and its dicts


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["cut.pth", "cut.pickle.pbz2"])
def test_a_cut_file_leaves_nothing_behind(nas_bench_201: dict[str, Any], tmp_path: Path, name: str) -> None:
    torch.save(nas_bench_201, tmp_path / name, _use_new_zipfile_serialization=False)
    whole = (tmp_path / name).read_bytes()
    packed = bz2.compress(whole) if name.endswith("bz2") else whole
    (tmp_path / name).write_bytes(packed[: len(packed) * 9 // 10])
    with pytest.raises(UserError, match=f"{name} cannot be read"):
        import_file(tmp_path / name, tmp_path / "table.npz")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_checksum_that_is_given_is_compared(nas_bench_201: dict[str, Any], tmp_path: Path) -> None:
    source, target = tmp_path / "whole.pth", tmp_path / "table.npz"
    torch.save(nas_bench_201, source)
    right = hashlib.md5(source.read_bytes()).hexdigest()
    with pytest.raises(UserError, match=right):
        import_file(source, target, md5="0" * 32)
    assert not target.exists()
    import_file(source, target, md5=right.upper())
    assert Table(target).facts["md5"] == right


def test_a_search_finds_a_published_file_and_imports_it_once(
    nas_bench_201: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = lookup.PUBLISHED[1]
    torch.save(nas_bench_201, tmp_path / name)
    found = find_table(tmp_path, "cifar10")
    assert found is not None
    known = found.look_up(ARCHITECTURES[1])
    assert {name: sorted(splits) for name, splits in known.items()} == {
        "cifar10": ["test", "train"],
        "cifar100": ["test", "train", "valid"],
        "imagenet16-120": ["test", "train", "valid"],
    }
    assert found.look_up(isomorphism.architecture_at(11)) == {}  # the run goes on
    (tmp_path / name).unlink()
    again = find_table(tmp_path, "cifar100")
    assert again is not None
    assert again.look_up(ARCHITECTURES[1]) == known
