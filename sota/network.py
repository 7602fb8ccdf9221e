"""The network of one genotype, trained from scratch: the supernet's shape with the chosen operations only."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darts_pt.evaluation import EvaluationNetwork
from darts_pt.kernels.mixed import BatchNorm2d
from darts_pt.run.device import Generators
from darts_pt.run.processes import Share
from sota.genotypes import Gene, Genotype
from sota.operations import FactorizedReduce, Noise, ReLUConvBN, operation
from sota.spaces import INPUTS, INPUTS_KEPT, NODES
from sota.supernet import STEM_MULTIPLIER, reduction_cells

GENES = INPUTS_KEPT * NODES


class ChosenCell(nn.Module):
    """Two inputs, four nodes; a node is the sum of two operations, the output the concatenation of the nodes."""

    def __init__(
        self,
        genes: tuple[Gene, ...],
        c_prev_prev: int,
        c_prev: int,
        channels: int,
        reduction: bool,
        reduction_prev: bool,
    ) -> None:
        super().__init__()
        if reduction_prev:
            self.preprocess0 = FactorizedReduce(c_prev_prev, channels, affine=True)
        else:
            self.preprocess0 = ReLUConvBN(c_prev_prev, channels, affine=True)
        self.preprocess1 = ReLUConvBN(c_prev, channels, affine=True)
        self._sources = [source for _, source in genes]
        self._ops = nn.ModuleList(
            operation(name, channels, stride=2 if reduction and source < INPUTS else 1, affine=True)
            for name, source in genes
        )

    def forward(self, previous_previous: Tensor, previous: Tensor, kept_paths: Tensor | None) -> Tensor:
        """The cell's output [batch, 4·channels, H, W].

        Args:
            kept_paths: drop-path's factor [8, batch, 1, 1, 1] for every gene and image; 0 drops it.
        """
        nodes = [self.preprocess0(previous_previous), self.preprocess1(previous)]
        for node in range(NODES):
            terms = []
            for gene in range(INPUTS_KEPT * node, INPUTS_KEPT * (node + 1)):
                module = self._ops[gene]
                term = module(nodes[self._sources[gene]])
                if kept_paths is not None and not isinstance(module, nn.Identity):
                    term = term * kept_paths[gene]
                terms.append(term)
            nodes.append(terms[0] + terms[1])
        return torch.cat(nodes[INPUTS:], dim=1)


class AuxiliaryHead(nn.Module):
    """A classifier on the maps after the second reduction, for a second loss in training.

    Maps of `side` pixels are pooled 5×5 to 2×2, with stride 3 for side 8 (images of 32 pixels) or 2 for side 7 (ImageNet).
    Maps that this does not bring to 2×2, which the original cannot take, are pooled adaptively.

    Args:
        last_norm: add a batch norm after the second convolution. DARTS's head for ImageNet has none: its authors left it
            out by mistake, and kept it so since their paper's numbers are without it.
    """

    POOLED = 2

    def __init__(self, channels: int, num_classes: int, side: int = 8, last_norm: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=side - 5, count_include_pad=False),
            nn.Conv2d(channels, 128, 1, bias=False),
            BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, self.POOLED, bias=False),
            *([BatchNorm2d(768)] if last_norm else []),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        relu, pool = self.features[0], self.features[1]
        if all((length - 5) // pool.stride + 1 == self.POOLED for length in maps.shape[2:]):  # type: ignore[union-attr]
            hidden = pool(relu(maps))
        else:
            hidden = nn.functional.adaptive_avg_pool2d(relu(maps), self.POOLED)
        return self.classifier(self.features[2:](hidden).flatten(1))


class SotaNetwork(EvaluationNetwork):
    """The network of a genotype for images of about 32 pixels (DARTS, section 3.2); names as in the original.

    Args:
        init_channels: channels C of the first cells; 36 in the paper for CIFAR-10 with `layers` 20.
        layers: cells L; those at L//3 and 2L//3 are reduction cells.
        auxiliary: add an auxiliary head after cell 2L//3.
    """

    auxiliary_maps = 8
    """`side` of the auxiliary head."""
    auxiliary_last_norm = True
    """`last_norm` of the auxiliary head."""

    def __init__(
        self, genotype: Genotype, init_channels: int, layers: int, num_classes: int, auxiliary: bool = False
    ) -> None:
        super().__init__()
        self._drop_path_generator: torch.Generator | None = None
        self._share: Share | None = None
        channels, c_prev_prev, c_prev, reduction_prev = self._add_stem(init_channels)
        self.cells = nn.ModuleList()
        self._auxiliary_cell = 2 * layers // 3
        head = None
        for layer in range(layers):
            reduction = layer in reduction_cells(layers)
            channels *= 2 if reduction else 1
            genes = genotype.reduce if reduction else genotype.normal
            self.cells.append(ChosenCell(genes, c_prev_prev, c_prev, channels, reduction, reduction_prev))
            reduction_prev = reduction
            c_prev_prev, c_prev = c_prev, NODES * channels
            if auxiliary and layer == self._auxiliary_cell:
                head = AuxiliaryHead(c_prev, num_classes, self.auxiliary_maps, self.auxiliary_last_norm)
        self.auxiliary_head = head
        self.classifier = nn.Linear(c_prev, num_classes)

    def _add_stem(self, channels: int) -> tuple[int, int, int, bool]:
        """Add the layers before the cells.

        Returns:
            channels of the first cells and of their two inputs; True if the older input has twice the other's size.
        """
        wide = STEM_MULTIPLIER * channels
        self.stem = nn.Sequential(nn.Conv2d(3, wide, 3, padding=1, bias=False), BatchNorm2d(wide))
        return channels, wide, wide, False

    def _inputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs of the first cell."""
        maps = self.stem(images)
        return maps, maps

    def draw_from(self, generators: Generators) -> None:
        """Take the random streams of drop-path and of the operation noise (S4)."""
        self._drop_path_generator = generators["drop_path"]
        for module in self.modules():
            if isinstance(module, Noise):
                module.generator = generators["noise"]

    def set_share(self, share: Share) -> None:
        self._share = share
        for module in self.modules():
            if isinstance(module, Noise):
                module.share = share

    def forward(self, images: Tensor, drop_path_prob: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """Logits [batch, classes], and those of the auxiliary head in train mode where there is one.

        Args:
            images: normalised, [batch, 3, height, width].
            drop_path_prob: probability of dropping an operation other than the identity for an image, in train mode; the
                others are scaled by 1 / (1 - probability).

        Raises:
            RuntimeError: random numbers are needed, but :meth:`draw_from` has not been called.
        """
        kept_paths = self._kept_paths(images, drop_path_prob) if self.training and drop_path_prob > 0 else None
        auxiliary_logits = None
        previous_previous, previous = self._inputs(images)
        for layer, cell in enumerate(self.cells):
            output = cell(previous_previous, previous, None if kept_paths is None else kept_paths[layer])
            previous_previous, previous = previous, output
            if layer == self._auxiliary_cell and self.auxiliary_head is not None and self.training:
                auxiliary_logits = self.auxiliary_head(output)
        return self.classifier(previous.mean(dim=(2, 3))), auxiliary_logits

    def _kept_paths(self, images: Tensor, drop_path_prob: float) -> Tensor:
        """Draw drop-path's factors [cells, genes, batch, 1, 1, 1] for one forward pass."""
        if self._drop_path_generator is None:
            raise RuntimeError("drop-path needs random numbers: call draw_from first")
        keep = 1.0 - drop_path_prob
        batch, mine = (len(images), slice(None)) if self._share is None else (self._share.total, self._share.place)
        kept = torch.empty(len(self.cells), GENES, batch, 1, 1, 1, dtype=images.dtype, device=images.device)
        return kept.bernoulli_(keep, generator=self._drop_path_generator)[:, :, mine].div_(keep)


class ImageNetNetwork(SotaNetwork):
    """The network of a genotype for images of about 224 pixels (DARTS, section 3.3); names as in the original.

    Two stems reduce the images to an eighth of their side; they are the inputs of the first cell. The paper has 48 channels
    and 14 layers.
    """

    auxiliary_maps = 7
    auxiliary_last_norm = False

    def _add_stem(self, channels: int) -> tuple[int, int, int, bool]:
        half = channels // 2
        self.stem0 = nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
            BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, channels, 3, stride=2, padding=1, bias=False),
            BatchNorm2d(channels),
        )
        self.stem1 = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
            BatchNorm2d(channels),
        )
        return channels, channels, channels, True

    def _inputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        quarter = self.stem0(images)
        return quarter, self.stem1(quarter)
