# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The frameworks that there are recipes of, as tables call them."""

import nasiam_mm.models  # noqa: F401  registers the frameworks
from nasiam_mm.files.shipped import framework_names
from nasiam_mm.models.frameworks import title_of

# Name in recipes -> title.
FRAMEWORKS = {name: title_of(name) for name in framework_names()}
