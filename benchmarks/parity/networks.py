"""Repeat a golden record of a derived network of S1–S5 and compare every quantity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.parity.comparing import Comparison, compare, compare_recorded, gradient_norm
from benchmarks.parity.randomness import drop_path_factors, given_noise
from darts_pt.complexity import AUXILIARY
from sota.genotypes import Genotype, from_plain, parse, published
from sota.network import ImageNetNetwork, SotaNetwork


def network_of(record: Mapping[str, Any]) -> SotaNetwork:
    """The record's network in float64; its size follows from the weights."""
    config, state = record["config"], record["state_dict"]
    is_imagenet = "stem0.0.weight" in state
    channels = state["stem1.1.weight"].shape[0] if is_imagenet else state["stem.0.weight"].shape[0] // 3
    layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("cells."))
    has_auxiliary_head = any(name.startswith(AUXILIARY) for name in state)
    make = ImageNetNetwork if is_imagenet else SotaNetwork
    network = make(
        genotype_of(config["genotype"]), channels, layers, state["classifier.weight"].shape[0], has_auxiliary_head
    )
    return network.double()


def genotype_of(named: Any) -> Genotype:
    """A genotype from its published name, its text, its fields, or their values in order."""
    if isinstance(named, list | tuple):
        named = dict(zip(Genotype._fields, named, strict=True))
    if isinstance(named, Mapping):
        return from_plain(named)
    return parse(named) if named.lstrip().startswith("Genotype(") else published(named)


def compare_network(record: Mapping[str, Any]) -> Iterator[Comparison]:
    """Run the network on one batch: train mode with gradients, then eval mode from the initial state."""
    config, images, labels = record["config"], record["x"], record["y"].long()
    network = network_of(record).to(images.device)
    network.load_state_dict(record["state_dict"])
    probability, masks = config.get("drop_path_prob", 0.0), record.get("drop_path_masks")
    if (probability > 0) != (masks is not None):
        raise ValueError("drop-path needs both: the config's drop_path_prob and the record's drop_path_masks")
    if masks is not None:
        factors = drop_path_factors(network, masks, probability).to(images)
        network._kept_paths = lambda images, probability: factors  # type: ignore[method-assign]
    smoothing = config.get("label_smoothing", 0.0)
    network.train()
    with given_noise(network, record.get("noise")):
        logits, auxiliary_logits = network(images, probability)
    loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if auxiliary_logits is not None:
        auxiliary_loss = F.cross_entropy(auxiliary_logits, labels, label_smoothing=smoothing)
        loss = loss + config.get("auxiliary_weight", 0.4) * auxiliary_loss
    loss.backward()
    measured = {
        "train_logits": ("train-mode logits", logits),
        "train_aux_logits": ("auxiliary logits", auxiliary_logits),
        "train_loss": ("loss", loss),
        "grad_norm": ("norm of the gradient", gradient_norm(network)),
        "state_dict_after": ("running statistics after it", network.state_dict()),
    }
    yield from compare_recorded(record, measured)
    if "eval_logits" in record:
        network.load_state_dict(record["state_dict"])
        network.eval()
        with torch.no_grad(), given_noise(network, record.get("noise")):
            yield compare("eval-mode logits", network(images)[0], record["eval_logits"])
