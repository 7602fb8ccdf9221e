"""The paper's numbers: test error in percent unless stated otherwise.

Wang et al., *Rethinking Architecture Selection in Differentiable NAS*, ICLR 2021. On CIFAR-10 in the DARTS space they are
means and standard deviations over four seeds; on S1–S4 they are the best of four seeds, as the authors say elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A published number: mean, and standard deviation and best if given."""

    mean: float
    std: float | None = None
    best: float | None = None

    def __str__(self) -> str:
        text = f"{self.mean:.2f}" + (f" ± {self.std:.2f}" if self.std is not None else "")
        return text + (f" (best {self.best:.2f})" if self.best is not None else "")


class Row(NamedTuple):
    """A row of a table: label, search method, selection, and the published number."""

    label: str
    method: str
    selection: str
    published: Published


SHUFFLING = {
    "DARTS supernet": (Published(88.44), Published(81.09, 1.87)),
    "ResNet": (Published(93.86), Published(83.20, 2.03)),
    "VGG": (Published(92.69), Published(9.83, 0.33)),
}
"""Table 1, test accuracy in percent on CIFAR-10: before and after two edges (or layers) are exchanged."""

DARTS_SPACE = (
    Row("DARTS", "darts", "magnitude", Published(3.00, 0.14)),
    Row("DARTS + PT", "darts", "pt", Published(2.61, 0.08, 2.48)),
    Row("DARTS + PT-Mag", "darts", "pt-mag", Published(2.85)),
    Row("DARTS + PT (fix alpha)", "blank", "pt", Published(2.87)),
    Row("SDARTS-RS", "sdarts-rs", "magnitude", Published(2.67, 0.03)),
    Row("SDARTS-RS + PT", "sdarts-rs", "pt", Published(2.54, 0.10, 2.44)),
    Row("SGAS (criterion 1)", "sgas", "magnitude", Published(2.66, 0.24)),
    Row("SGAS + PT", "sgas", "pt", Published(2.56, 0.10, 2.46)),
)
"""Table 2: the DARTS space (S5) on CIFAR-10."""

COLUMNS = (("DARTS", "darts", "magnitude"), ("DARTS + PT", "darts", "pt"), ("DARTS + PT (fix alpha)", "blank", "pt"))
"""The three methods of tables 3 and 4: label, search, selection."""

S1_TO_S4: dict[str, dict[str, tuple[float, float, float]]] = {
    "cifar10": {
        "s1": (3.84, 3.50, 2.86),
        "s2": (4.85, 2.79, 2.59),
        "s3": (3.34, 2.49, 2.52),
        "s4": (7.20, 2.64, 2.58),
    },
    "cifar100": {
        "s1": (29.46, 24.48, 24.40),
        "s2": (26.05, 23.16, 23.30),
        "s3": (28.90, 22.03, 21.94),
        "s4": (22.85, 20.80, 20.66),
    },
    "svhn": {
        "s1": (4.58, 2.62, 2.39),
        "s2": (3.53, 2.53, 2.32),
        "s3": (3.41, 2.42, 2.32),
        "s4": (3.05, 2.42, 2.39),
    },
}
"""Table 3: S1–S4 on three data sets, in the order of COLUMNS."""

MORE_SPACES: dict[str, tuple[float, float, float]] = {
    "s5": (3.00, 2.61, 2.87),
    "nasbench201": (45.7, 11.89, 6.20),
    **S1_TO_S4["cifar10"],
}
"""Table 4: the same three methods on CIFAR-10, by space."""
