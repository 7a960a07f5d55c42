# Which head of S-head should be used on these images? 18 trainings search, then the best head
# and the standard one are compared on fresh seeds: at most 30 trainings of 390 iterations, each of
# which takes a core about a second in float32 (docs/performance.md):
# nasiam search studies/vicreg_r18_s_head_cifar10_demo.py --study heads --workers 2
_base_ = ['../heads/vicreg_r18_s_head_cifar10_demo.py']

study = dict(
    baseline='nasiam/vicreg_r18_baseline_cifar10_demo.py',
    sampler=dict(type='TPE'),
    objective='knn',
    budget=30,
)
