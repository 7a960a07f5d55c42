# As studies/simclr_r18_s_head_cifar10_demo.py, of PIRL:
# nasiam search studies/pirl_r18_s_head_cifar10_demo.py --study pirl --workers 2
_base_ = ['../heads/pirl_r18_s_head_cifar10_demo.py']

study = dict(
    baseline='nasiam/pirl_r18_baseline_cifar10_demo.py',
    sampler=dict(type='TPE'),
    objective='knn',
    budget=30,
)
