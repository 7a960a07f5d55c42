# As studies/simclr_r18_s_head_cifar10_demo.py, of SimSiam, whose loss ranks heads the wrong way
# round: nothing here looks at it.
# nasiam search studies/simsiam_r18_s_head_cifar10_demo.py --study simsiam --workers 2
_base_ = ['../heads/simsiam_r18_s_head_cifar10_demo.py']

study = dict(
    baseline='nasiam/simsiam_r18_baseline_cifar10_demo.py',
    sampler=dict(type='TPE'),
    objective='knn',
    budget=30,
)
