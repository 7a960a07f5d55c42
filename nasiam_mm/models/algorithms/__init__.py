# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""mmpretrain's algorithms with heads that can be searched, one file each."""
