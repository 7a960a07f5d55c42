# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How long and at what size heads are trained: the scales that a table can be made at."""

from dataclasses import dataclass

from mmengine.config import Config

VAL, TEST = 2000, 2000  # images that a row is measured on
_WIDTH, _BATCH = 16, 128  # of the demo, whose recipes are scaled


@dataclass(frozen=True)
class Scale:
    """A scale of training.

    Attributes:
        pixels: Side of the images, which are averaged down to it, and of their views.
        width: Channels of the first stage of the ResNet-18; 16 is the demo's, 64 the paper's.
        images: Of the training split of CIFAR-10 that are trained on.
        epochs: Of the whole schedule.
        stride: Of the first stage of the ResNet-18.
        batch: Images of a step.
        lr: Learning rate; None for the recipe's.
        interval: Epochs after which a run of the table is measured.
        base_momentum: Share of the new weights in a target network's at the first step, BYOL's;
            None for the recipe's.
    """

    pixels: int
    width: int
    images: int
    epochs: int
    stride: int = 1
    batch: int = _BATCH
    lr: float | None = None
    interval: int = 1
    base_momentum: float | None = None

    @property
    def iterations(self) -> int:
        """Steps of an epoch; what is left of the images is no batch."""
        return self.images // self.batch

    def apply(self, cfg: Config) -> None:
        """Scale a recipe of the demo; the widths of its heads keep their ratio to the features."""
        for key in ('stem_channels', 'base_channels'):
            cfg.model.backbone[key] = self.width
        if self.stride != 1:
            cfg.model.backbone.strides = (self.stride, 2, 2, 2)
        cfg.model.neck.in_channels = 8 * self.width
        heads = [cfg.model.neck, cfg.model.head.get('predictor')]
        for head in filter(None, heads):
            # A baseline's is mmpretrain's.
            key = 'hidden_channels' if 'hidden_channels' in head else 'hid_channels'
            head[key] = head[key] * self.width // _WIDTH
        cfg.model.data_preprocessor.views.size = self.pixels
        cfg.model.data_preprocessor.eval_size = self.pixels
        cfg.train_cfg.max_epochs = self.epochs
        cfg.train_dataloader.batch_size = self.batch
        if self.lr is not None:
            cfg.optim_wrapper.optimizer.lr = self.lr
        if self.base_momentum is not None:
            cfg.model.base_momentum = self.base_momentum
        # float32, also on a CPU that has bfloat16, which demo recipes take.
        cfg.optim_wrapper.type = 'OptimWrapper'
        bank = dict(train=self.images, val=VAL)
        for part in (cfg.train_dataloader.dataset, cfg.probe.bank, cfg.probe.query):
            part.dataset.parts = bank


# A table is made at the cheapest that passes the gate; the last is what the others stand for.
SCALES = {
    'thumb': Scale(pixels=8, width=8, images=5000, epochs=4),
    'half': Scale(pixels=16, width=8, images=2500, epochs=4),
    'narrow': Scale(pixels=16, width=8, images=5000, epochs=4),
    'wide': Scale(pixels=16, width=16, images=5000, epochs=4),
    # For SimSiam and BYOL, which learn nothing at the demo's rate in 156 steps, nor at 8 pixels.
    'brisk': Scale(pixels=16, width=8, images=2500, epochs=4, batch=64, lr=0.4),
    'steady': Scale(pixels=16, width=8, images=5000, epochs=4, batch=64, lr=0.1),
    'keen': Scale(pixels=16, width=8, images=5000, epochs=4, batch=64, lr=0.4),
    # For BYOL, whose heads differ too little at keen: 312 steps are three lives of its target.
    'swift': Scale(pixels=16, width=8, images=5000, epochs=4, batch=64, lr=0.4, base_momentum=0.1),
    # Steps that move nothing: what a backbone gives that is not trained.
    'still': Scale(pixels=16, width=8, images=5000, epochs=1, batch=64, lr=1e-9),
    # Of the experiment end to end.
    'square': Scale(pixels=32, width=8, images=5000, epochs=4, stride=2),
    'dear': Scale(pixels=32, width=16, images=10000, epochs=5, stride=2, interval=5),
}
