# As studies/simclr_r18_s_head_cifar10_demo.py, of MoCo v3:
# nasiam search studies/mocov3_r18_s_head_cifar10_demo.py --study mocov3 --workers 2
_base_ = ['../heads/mocov3_r18_s_head_cifar10_demo.py']

study = dict(
    baseline='nasiam/mocov3_r18_baseline_cifar10_demo.py',
    sampler=dict(type='TPE'),
    objective='knn',
    budget=30,
)
