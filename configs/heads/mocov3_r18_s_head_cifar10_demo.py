# Genotypes of S-head, drawn and trained one by one:
# nasiam genotype random heads/mocov3_r18_s_head_cifar10_demo.py --seed 1 --out 1.json
# nasiam train heads/mocov3_r18_s_head_cifar10_demo.py --genotype 1.json --work-dir work_dirs/1
_base_ = ['../nasiam/mocov3_r18_pretrain_cifar10_demo.py', '../_base_/spaces/s_head.py']

model = dict(space=_base_._s_head_predictive)
