"""The classes of published data sets, to tell whether a folder's images can be of one of them."""

from __future__ import annotations

from collections.abc import Sequence

from darts_pt.run.errors import ArgumentError

CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet16-120": 120, "digits": 10}
"""Data sets with known accuracies of architectures -> number of classes."""
CLASS_NAMES = {
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
    "cifar100": """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
        can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
        dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
        lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
        pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
        seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
        telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm""",
    "digits": "zero one two three four five six seven eight nine",
}
"""The names of classes, where copies of a data set agree on them."""


def check_classes(class_names: Sequence[str], dataset: str) -> None:
    """Check that images of these classes can be those of a published data set.

    Copies differ in spelling (car, lawn-mower) or number the classes, so half of the names are enough, and numbers pass.

    Raises:
        ArgumentError: there are more or fewer classes, or most have names that the data set does not have.
    """
    expected = CLASSES.get(dataset, len(class_names))
    if len(class_names) != expected:
        raise ArgumentError("table_dataset", f"{dataset} has {expected} classes, these images have {len(class_names)}")
    known = CLASS_NAMES.get(dataset, "").split()
    unknown = [name for name in class_names if not name[-1].isdecimal() and name.lower() not in known]
    if known and len(unknown) > len(known) // 2:
        raise ArgumentError(
            "table_dataset",
            f"these images are not {dataset}'s: their classes are {', '.join(unknown[:3])}, …; expected "
            f"{', '.join(known[:3])}, …",
        )
