"""The cells of a supernet of S1–S5: their modules, and how their operations are computed together."""
