"""The keys of golden records; the parity command names any others as not compared. docs/faithfulness.md explains each."""

from __future__ import annotations

STEP = ("train_batch", "valid_batch", "noise", "random", "pgd", "alpha_after", "train_loss", "mixing_weights")
SCORES = ("valid_batches", "columns", "noise", "edges", "none_decided", "decided", "after_decisions")
ROUNDS = ("first_round", "second_round", "third_round")
PERTURBATION = ("epsilon", "steps", "random_start", "batch", "decided", "noise", "perturbed_weights")

Keys = dict[str, tuple[str, ...]]
"""Key -> the keys of its part; empty if its value is data."""

SUPERNET: Keys = {
    **dict.fromkeys(("source", "config", "method", "edge_order", "op_names"), ()),
    **dict.fromkeys(("batches", "state_dict", "alpha", "noise"), ()),
    "train_forward": ("noise", "logits", "loss", "alpha_grad", "weight_grad_norm", "state_dict_after"),
    "eval_forward": ("noise", "logits"),
    "bilevel_steps": STEP,
    "state_dict_after_steps": (),
    "perturbation_scores": SCORES,
    "operation_scores": SCORES,
    "edge_scores": ("valid_batches", "columns", "noise", "decided", "incoming_edges", *ROUNDS),
    "edge_decisions": (),
    "tune_steps": STEP,
    "events": (
        "cell_type", "valid_batches", "criterion", "noise", "edge", "scores", "rounds", "kept", "tune_steps",
    ),
    "alpha_at_perturbation": (),
    "random": PERTURBATION,
    "pgd": PERTURBATION,
    "genotype": (),
}  # fmt: skip

NETWORK: Keys = dict.fromkeys(
    (
        "source", "config", "x", "y", "state_dict", "noise", "drop_path_masks", "train_logits", "train_aux_logits",
        "train_loss", "grad_norm", "state_dict_after", "eval_logits",
    ), (),
)  # fmt: skip
