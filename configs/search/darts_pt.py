# DARTS-PT (arXiv:2108.04392): at the end, layer by layer, the candidate whose removal hurts most by
# a contrast of held-out images; weights are tuned between. With alpha_step.optimizer=None alpha is
# fixed ("blank-pt").
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
default_hooks = dict(
    genotype=dict(
        selection=dict(type='Perturbation', criterion=dict(type='HeldOutContrast'), tune_steps=100)
    )
)
