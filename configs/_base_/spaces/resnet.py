# ResNets for small images, 216 of them: 3 stages of 1-3 blocks (docs/backbones.md). A dict of
# several options is drawn from and trained; alpha mixes the operations of the second.
_resnet = dict(blocks=[1, 2, 3], block=['basic', 'bottleneck'], kernel=[3, 5], width=[0.5, 1])
_resnet_ops = dict(op=['basic_3', 'basic_5', 'bottleneck_3', 'bottleneck_5'])
