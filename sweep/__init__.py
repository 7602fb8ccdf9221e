"""Sweeps: a plan of searches, selections and trainings, run as Ray tasks on one machine or many."""
