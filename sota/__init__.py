"""The S1–S5 search spaces: cells of DARTS with normal and reduction type."""
