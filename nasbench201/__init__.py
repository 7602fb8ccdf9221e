"""The NAS-Bench-201 search space (Dong & Yang, ICLR 2020)."""
