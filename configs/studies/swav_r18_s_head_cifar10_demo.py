# As studies/simclr_r18_s_head_cifar10_demo.py, of SwAV, whose six views of an image take longer:
# nasiam search studies/swav_r18_s_head_cifar10_demo.py --study swav --workers 2
_base_ = ['../heads/swav_r18_s_head_cifar10_demo.py']

study = dict(
    baseline='nasiam/swav_r18_baseline_cifar10_demo.py',
    sampler=dict(type='TPE'),
    objective='knn',
    budget=30,
)
