"""The benchmark table: an architecture's true accuracy, its rank and its regret, without training."""

from nasbench201.table.lookup import Ranking, Table, find_table

__all__ = ["Ranking", "Table", "find_table"]
