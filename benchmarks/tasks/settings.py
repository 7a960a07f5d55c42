# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""By what a backbone is measured on a task."""

PROTOCOL = 1  # changes with what is measured: figures of another one are made anew
CLASSIFIERS = ('linear', 'knn')
L2S = (0.03, 0.003, 0.0003)  # penalties of the logistic regression
TOLERANCE = 1e-4  # largest entry of its gradient
NEIGHBOURS = (1, 5, 20)
TEMPERATURE = 0.1  # of their vote
