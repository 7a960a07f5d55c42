# As studies/simclr_r18_s_head_cifar10_demo.py, of BYOL:
# nasiam search studies/byol_r18_s_head_cifar10_demo.py --study byol --workers 2
_base_ = ['../heads/byol_r18_s_head_cifar10_demo.py']

study = dict(
    baseline='nasiam/byol_r18_baseline_cifar10_demo.py',
    sampler=dict(type='TPE'),
    objective='knn',
    budget=30,
)
