# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the measures of a backbone are, in a clause, for consoles and reports (docs/measures.md)."""

# By the name that it is logged by, as ``measure/<name>``.
MEASURES = {
    'knn': (
        'the share of held-out images that the vote of their nearest neighbours, by the features '
        'of the backbone, names rightly; more is better'
    ),
    'linear': (
        'the share of held-out images that a linear classifier on the features of the backbone, '
        'which stays as it is, names rightly; more is better'
    ),
    'rankme': (
        'about how many directions the features of the backbone make use of; more is better, about '
        '1 is a collapse; no labels are needed'
    ),
    'lidar': (
        'in about how many directions images differ by more than views of one image do; more is '
        'better; no labels are needed'
    ),
    'alpha_req': 'how fast the eigenvalues of the features fall off, as an exponent; best near 1',
    'alignment': (
        'the mean squared distance of two views of an image, on the unit sphere; lower is better, '
        'beside uniformity'
    ),
    'uniformity': (
        'how close pairs of images lie to each other on the unit sphere; lower is more evenly '
        'spread, 0 is a collapse to a point'
    ),
    'contrast': (
        'the InfoNCE loss of two views of held-out images under one fixed head; lower is better'
    ),
}
OF_IMAGES = ('knn', 'linear')  # in percent of them
