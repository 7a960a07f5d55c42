# MobileNets for small images, 8,000 of them: 6 blocks of kernel 3 or 5 and expansion 3 or 6, of
# which those that keep the shape may be left out (docs/backbones.md).
_mobilenet = ['mbconv_3_e3', 'mbconv_3_e6', 'mbconv_5_e3', 'mbconv_5_e6', 'identity']
