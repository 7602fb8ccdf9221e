"""The method of *Rethinking Architecture Selection in Differentiable NAS*; it knows no particular search space."""
