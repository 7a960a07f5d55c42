# P-DARTS (arXiv:1904.12760): three stages, each with fewer candidates and fresh weights; alpha
# waits for 10 of each stage's 25 epochs; dropout on identities; at most two of them. Its growing
# depth has no analogue in a head. Alpha's own rate there is 6e-4.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
default_hooks = dict(
    alpha_step=dict(
        schedules=[
            dict(type='Stages', keep=[0.625, 0.375], restart=True),
            dict(type='AlphaWarmup', share=0.4),
            dict(type='IdentityDropout', rates=[0.1, 0.4, 0.7], warmup=0.4, decay=3.0),
        ]
    ),
    genotype=dict(selection=dict(type='TopK', k=1, max_identity=2)),
)
