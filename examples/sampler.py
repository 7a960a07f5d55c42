"""A sampler of your own: the best head so far, one choice of it changed."""

from nasiam_mm.study.samplers import SAMPLERS, HeadSampler
from nasiam_mm.study.samplers.sampler import decided


@SAMPLERS.register_module()
class HillClimbing(HeadSampler):
    """Climbs from the best head measured to one beside it that nobody has tried.

    Args:
        startup: Heads drawn at random first.
    """

    def __init__(self, space, seed, startup=5):
        super().__init__(space, seed)
        if type(startup) is not int or startup < 1:
            raise ValueError(f'HillClimbing.startup must be a number from 1, got {startup!r}')
        self.startup = startup

    def propose(self, measured, running, rng):
        """Return the option of every choice for the next trial."""
        if len(measured) < self.startup:
            return self.draw(rng)
        known = {decided(head) for head in [*(trial.head for trial in measured), *running]}
        best = max(measured, key=lambda trial: trial.rank)
        beside = [head for heads in self.neighbours(best.head).values() for head in heads]
        untried = [head for head in beside if decided(head) not in known]
        return untried[rng.integers(len(untried))] if untried else self.draw(rng)
