# Reads the data section of a config; stands for mmengine's Runner in any script.
runner_type = 'nasiam_mm.engine.NasiamRunner'
default_scope = 'nasiam_mm'

default_hooks = dict(
    runtime_info=dict(type='BufferedRuntimeInfoHook'),
    timer=dict(type='DataWaitTimerHook'),
    # All scalars over iterations, those of a validation too.
    logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', interval=10, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    resume=dict(type='ResumeHook'),
    run_state=dict(type='RunStateHook'),
    memory_format=dict(type='MemoryFormatHook'),
    probe=dict(type='ProbeHook'),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# In a run of several processes every BatchNorm becomes a SyncBatchNorm.
sync_bn = 'torch'
visualizer = dict(type='ScalarVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
