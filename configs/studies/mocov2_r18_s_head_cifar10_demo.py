# As studies/simclr_r18_s_head_cifar10_demo.py, of MoCo v2:
# nasiam search studies/mocov2_r18_s_head_cifar10_demo.py --study mocov2 --workers 2
_base_ = ['../heads/mocov2_r18_s_head_cifar10_demo.py']

study = dict(
    baseline='nasiam/mocov2_r18_baseline_cifar10_demo.py',
    sampler=dict(type='TPE'),
    objective='knn',
    budget=30,
)
