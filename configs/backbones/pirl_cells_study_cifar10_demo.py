# CSNAS: TPE over cells, each trained with PIRL, against a ResNet made by hand; its own objective,
# the training loss, is the backbone's kNN here. 120 trainings of 10 epochs there, 30 of 5 here:
# nasiam search backbones/pirl_cells_study_cifar10_demo.py --study cells --workers 2
_base_ = ['../nasiam/pirl_r18_baseline_cifar10_demo.py', '../_base_/spaces/cells.py']

model = dict(
    # Of a trial.
    genotype=None,
    backbone=dict(
        _delete_=True,
        type='ChoiceCells',
        space=_base_._cells,
        blocks=(1, 1, 1),
        base_channels=8,
        nodes=2,
    ),
)
study = dict(
    baseline='nasiam/pirl_r18_baseline_cifar10_demo.py',
    sampler=dict(type='TPE'),
    objective='knn',
    budget=30,
)
