from tests.helpers.made_runs import made_runs, root

__all__ = ["made_runs", "root"]
