# PC-DARTS (arXiv:1907.05737): a quarter of the channels is mixed; alpha waits for 15 of 50 epochs.
# Its edge normalisation is not applicable to a chain. Alpha's own rate there is 6e-4, batch 256.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
model = dict(mixing=dict(type='PartialChannels', k=4))
default_hooks = dict(alpha_step=dict(schedules=[dict(type='AlphaWarmup', share=0.3)]))
