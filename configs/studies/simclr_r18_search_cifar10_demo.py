# What do searches by gradient find, held against random heads of the same space and the standard
# head? Their genotypes, choices by perturbation and best by the supernet are candidates.
# nasiam search studies/simclr_r18_search_cifar10_demo.py --study gradient --workers 2
_base_ = ['../nasiam/simclr_r18_search_cifar10_demo.py']

study = dict(
    recipe='nasiam/simclr_r18_pretrain_cifar10_demo.py',
    baseline='nasiam/simclr_r18_baseline_cifar10_demo.py',
    sampler=dict(type='Random'),
    gradient=[dict(strategy='darts_first_order', top=3), dict(strategy='gdas', top=3)],
    trials=16,
    rerank=4,
    rerank_seeds=2,
)
