# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SwAV's loss: views tell each other's assignment to prototypes, which are spread evenly.

Shapes: N images of this process, V views of each, K prototypes, D features, L of a queue.
"""

from collections.abc import Sequence

import torch
from mmengine.dist import all_gather, get_dist_info
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from nasiam_mm.models.losses import in_float32, lift, refuse_numbers
from nasiam_mm.models.seeds import own_stream
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class SwAVLoss(BaseModule):
    """Swapped prediction of assignments (SwAV, eq. 1 and 2) of some views by all others (eq. 6).

    In place of :class:`mmpretrain.models.SwAVLoss`, whose Sinkhorn waits for the device and sums
    over processes only where a prototype has no share, and whose queue is of one process and in no
    checkpoint. Here every process holds the queue of all, and each counts its part of it.
    Prototypes are brought back to unit norm in every weight step; the gradient is that of the
    prototypes as they then are. The loss of collapsed embeddings, or prototypes, is ``ln K``.

    ``frozen`` and ``use_queue`` are for ``PrototypesHook``: whether the prototypes stand still, and
    whether the queue is filled and, once it is full, looked at.

    Args:
        feat_dim: D, of the embeddings.
        num_prototypes: K.
        temperature: Of the softmax, tau.
        epsilon: Entropic regularization of the assignment.
        sinkhorn_iterations: Of Sinkhorn-Knopp, from 1.
        crops_for_assign: Views that assignments are computed of.
        queue_len: L, embeddings of each of these views that are assigned beside those of a batch,
            over all processes; 0 for none.

    A setting that cannot be is a ValueError.
    """

    def __init__(
        self,
        feat_dim: int,
        num_prototypes: int = 3000,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        sinkhorn_iterations: int = 3,
        crops_for_assign: Sequence[int] = (0, 1),
        queue_len: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        counts = dict(feat_dim=(feat_dim, 1), num_prototypes=(num_prototypes, 2))
        counts |= dict(sinkhorn_iterations=(sinkhorn_iterations, 1), queue_len=(queue_len, 0))
        for name, (count, least) in counts.items():
            if type(count) is not int or count < least:
                raise ValueError(f'SwAVLoss.{name} must be a whole number from {least}: {count!r}')
        refuse_numbers('SwAVLoss', positive=True, temperature=temperature, epsilon=epsilon)
        views = crops_for_assign if isinstance(crops_for_assign, Sequence) else ()
        are_views = all(type(view) is int and view >= 0 for view in views)
        if not views or not are_views or len({*views}) < len(views):
            told = f'must name views, as [0, 1], got {crops_for_assign!r:.80}'
            raise ValueError(f'SwAVLoss.crops_for_assign {told}')
        self.crops = [*views]
        self.temperature, self.epsilon, self.iterations = temperature, epsilon, sinkhorn_iterations
        self.frozen, self.use_queue = False, True
        with own_stream('prototypes'):
            self.prototypes = nn.Linear(feat_dim, num_prototypes, bias=False)
        self._to_unit_norm()
        self.register_buffer('queue', None)
        if queue_len:
            self.register_buffer('queue', torch.zeros(len(self.crops), queue_len, feat_dim))
            # Embeddings of a view that ever entered; the next takes the place of the oldest.
            self.register_buffer('queued', torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def _to_unit_norm(self) -> None:
        self.prototypes.weight.copy_(normalize(self.prototypes.weight, dim=1))

    def forward(self, z: Tensor, num_views: int, update_state: bool = True) -> Tensor:
        """Return the loss, (), of embeddings (V * N, D), view after view.

        Without ``update_state`` neither prototypes nor queue move, and what is returned is the same
        function of both. ValueError if there are fewer views than those to assign, or only one, or
        embeddings of another width.
        """
        if num_views < max(2, 1 + max(self.crops)):
            what = f'crops_for_assign {self.crops} takes more views than the {num_views} there are'
            raise ValueError(f'SwAVLoss: {what}; add views, two at least')
        if z.shape[1] != (width := self.prototypes.in_features):
            what = f'SwAVLoss.feat_dim is {width}, but z has {z.shape[1]} channels'
            raise ValueError(f'{what}; set model.head.loss.feat_dim={z.shape[1]}')
        with in_float32(z):
            z = normalize(lift(z), dim=1)
            moves = update_state and not self.frozen
            if moves:
                self._to_unit_norm()
            weight = lift(self.prototypes.weight)
            weight = weight if moves else normalize(weight, dim=1)
            if self.frozen and not update_state:
                # A weight step needs a gradient of every weight, where processes gather them.
                weight = weight.detach()
            scores = (z @ weight.T).unflatten(0, (num_views, -1))  # VxNxK
            logs = log_softmax(scores / self.temperature, dim=2)
            total = z.new_zeros(())
            for place, crop in enumerate(self.crops):
                q = self._assignment(scores[crop].detach(), place, weight.detach())
                others = sum(logs[view] for view in range(num_views) if view != crop)
                total = total - (q * others).sum(1).mean() / (num_views - 1)
        if update_state and self.use_queue and self.queue is not None:
            views = z.detach().chunk(num_views)
            self._enqueue(torch.stack([views[crop] for crop in self.crops]))
        return total / len(self.crops)

    @torch.no_grad()
    def _assignment(self, scores: Tensor, place: int, weight: Tensor) -> Tensor:
        """Assign the images of a batch, (N, K), its scores given, beside those of the queue."""
        count, mass = len(scores), scores.new_zeros(len(scores))
        if self.use_queue and self.queue is not None:
            rank, world = get_dist_info()
            held = self.queue[place, rank::world]
            # Decided on the device; a queue that is not full is left out whole.
            out = torch.where(self.queued < self.queue.size(1), -torch.inf, 0.0)
            scores = torch.cat((scores, held @ weight.T))
            mass = torch.cat((mass, out.to(mass).expand(len(held))))
        return sinkhorn(scores, self.epsilon, self.iterations, mass)[:count]

    @torch.no_grad()
    def _enqueue(self, z: Tensor) -> None:
        """Put embeddings of all processes, (views, N, D) each, in place of the oldest.

        Processes are dealt images in turn: so the queue is that of one process with the batch.
        """
        z = torch.stack(all_gather(z), dim=2).flatten(1, 2)
        count, length = z.size(1), self.queue.size(1)
        rows = (self.queued + torch.arange(count, device=z.device)) % length
        self.queue.index_copy_(1, rows[-length:], z[:, -length:].to(self.queue))
        self.queued += count


def sinkhorn(scores: Tensor, epsilon: float, iterations: int, mass: Tensor) -> Tensor:
    """Return assignments, (M, K), whose rows sum to 1 and whose columns tend to equal sums.

    Sinkhorn-Knopp (SwAV, eq. 3 to 5) on potentials, in logarithms, which neither overflow nor give
    a prototype no share; columns are summed over the rows of all processes. Where scores ask for a
    gradient it is that of one process.

    Args:
        scores: Similarity of the M embeddings of this process and the K prototypes, (M, K).
        epsilon: What they are divided by.
        iterations: Normalisations of the columns, each followed by one of the rows.
        mass: Logarithm of what a row counts, (M,): 0, or minus infinity for not at all.
    """
    logits = scores / epsilon
    rows = mass
    for _ in range(iterations):
        share = torch.logsumexp(logits + rows[:, None], dim=0)  # K
        share = torch.logsumexp(torch.stack(all_gather(share)), dim=0)
        balanced = logits - share
        rows = mass - torch.logsumexp(balanced, dim=1)
    return balanced.softmax(dim=1)
