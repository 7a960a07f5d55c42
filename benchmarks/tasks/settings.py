# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""By what a backbone is measured on a task."""

PROTOCOL = 1  # changes with what is measured: figures of another one are made anew
CLASSIFIERS = ('linear', 'knn')
L2S = (1.0, 0.1, 0.01, 0.001)  # penalties of the logistic regression
NEIGHBOURS = (1, 5, 20)
TEMPERATURE = 0.1  # of their vote
