# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Heads of choices that are no operations.

1. Depth, widths, normalisation, activation and form are what the genotype says; the rest stays the
   recipe's. The function is that of the same layers written out.
2. What depends on the projector's width follows it: predictor, queue.
3. Temperature and the predictor's rate reach the loss and the optimizer.
4. What a framework does not have is refused in one line, and so is what no gradient decides.
"""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError, save_genotype
from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.ops.candidates import SPACES
from nasiam_mm.registry import MODELS
from tests import small
from tests.small import WIDTH, config

S = list(SPACES['S'])
PREDICTING = [name for name, one in FRAMEWORKS.items() if 'predictor' in one.standard]
CONTRASTIVE = ['mocov2', 'mocov3', 'simclr']


def genotype(**options):
    """Genotype of names with ``__`` for the dots."""
    named = {name.replace('__', '.').strip('_'): option for name, option in options.items()}
    return Genotype('SimSiam', {name: Decision((o,), (o,)) for name, o in named.items()})


def head(recipe=None, **options):
    arguments = dict(name='projector', in_channels=8, hidden_channels=16, out_channels=12)
    return HeadMLP(**{**arguments, **(recipe or {})}, genotype=genotype(**options))


def linears(module):
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


def model_of(framework, folder, **options):
    """A framework's example of the genotype of these options; other heads are of depth 2."""
    rest = {'projector__depth': 2}
    if framework in PREDICTING and 'predictor__form' not in options:
        rest['predictor__depth'] = 2
    save_genotype(genotype(**{**rest, **options}), folder / 'g.json')
    return small.build(framework, genotype=str(folder / 'g.json'))


@pytest.mark.parametrize('depth', [1, 2, 3, 5])
def test_depth_counts_the_linear_layers(depth):
    built = head(projector__depth=depth)
    widths = [8, *[16] * (depth - 1), 12]
    assert linears(built) == list(pairwise(widths))
    assert not built.is_searched and built.output[0].out_features == 12


def test_two_layers_where_nothing_else_is_said():
    assert linears(head(projector__activation='gelu')) == [(8, 16), (16, 12)]
    # Operations without a depth are the cell, before the recipe's output layer.
    assert linears(head(projector__0__op='identity', projector__width_ratio=2)) == [
        (8, 32), (32, 12)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('hidden', 'ratio', 'width'),
    [(16, 1, 16), (16, 0.5, 8), (16, 4, 64), (20, 1, 20), (20, 2, 40), (20, 0.5, 8), (4, 0.5, 8),
     (100, 1.5, 152), (512, 0.25, 128)],
)  # fmt: skip
def test_hidden_width_is_a_multiple_of_8_but_the_recipes_own(hidden, ratio, width):
    built = head(dict(hidden_channels=hidden), projector__depth=3, projector__width_ratio=ratio)
    assert linears(built) == [(8, width), (width, width), (width, 12)]


@pytest.mark.parametrize('name', ['in_channels', 'hidden_channels', 'out_channels'])
@pytest.mark.parametrize('width', [0, -1, 2.5, '8', True])
def test_a_recipe_of_impossible_widths(name, width):
    with pytest.raises(ValueError, match=r'of a cell must be a positive integer, got'):
        head({name: width}, projector__depth=2, projector__width_ratio=2)


def test_too_wide():
    with pytest.raises(GenotypeError, match=r'width_ratio makes hidden layers of 2097152 channels'):
        head(dict(hidden_channels=2**20), projector__width_ratio=2)


ACTIVATIONS = {'relu': F.relu, 'gelu': F.gelu, 'silu': F.silu, 'tanh': torch.tanh}


def normalised(x, norm):
    if norm == 'none':
        return x
    if norm == 'ln':
        mean, var = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
    else:
        mean, var = x.mean(0), x.var(0, unbiased=False)
    return (x - mean) / (var + 1e-5).sqrt()


@pytest.mark.parametrize('activation', ACTIVATIONS)
@pytest.mark.parametrize('norm', ['none', 'bn', 'ln', 'bn_no_affine'])
def test_function_is_that_of_the_layers_written_out(norm, activation):
    built = head(
        dict(with_avg_pool=False), projector__depth=3, projector__hidden_norm=norm,
        projector__activation=activation, projector__output_norm=norm,
    )  # fmt: skip
    x = expected = torch.randn(32, 8)
    maps = [m for m in built.modules() if isinstance(m, nn.Linear)]
    for n, linear in enumerate(maps):
        # BatchNorm centres each channel, so that a bias before it would decide nothing.
        assert (linear.bias is None) == norm.startswith('bn')
        expected = expected @ linear.weight.T + (0 if linear.bias is None else linear.bias)
        expected = normalised(expected, norm)
        if n < 2:
            expected = ACTIVATIONS[activation](expected)
    torch.testing.assert_close(built((x,))[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(('norm', 'affine'), [('bn', True), ('bn_no_affine', False)])
def test_output_norm_takes_the_place_of_the_recipes(norm, affine):
    recipe = dict(with_last_bn=True, with_last_bn_affine=not affine)
    for options in ({'projector__depth': 2}, {'projector__0__op': 'identity'}):
        built = head(recipe, projector__output_norm=norm, **options)
        assert built.output[1].affine is affine
        kept = head(recipe, **options)
        assert kept.output[1].affine is not affine
        assert len(head(recipe, projector__output_norm='none', **options).output) == 1


def test_output_norm_needs_an_output_layer():
    recipe = dict(out_channels=None, cell_channels=12)
    with pytest.raises(ValueError, match='has no output layer to follow; decide its depth as well'):
        head(recipe, projector__0__op='identity', projector__output_norm='bn')
    built = head(recipe, projector__depth=2, projector__output_norm='bn')
    assert linears(built) == [(8, 16), (16, 12)] and len(built.output) == 2


def test_operations_of_some_hidden_layers():
    built = head(
        projector__depth=4, projector__0__op='max_pool_3_bn', projector__1__op='identity',
        projector__activation='tanh',
    )  # fmt: skip
    assert [list(layer) for layer in built.cell.layers] == [
        ['max_pool_3_bn'], ['identity'], ['hidden']
    ]  # fmt: skip
    assert isinstance(built.cell.layers[2]['hidden'][2], nn.Tanh)
    assert built((torch.randn(4, 8, 2, 2),))[0].shape == (4, 12)


PREDICTOR = dict(
    name='predictor', in_channels=12, hidden_channels=4, out_channels=None, cell_channels=12,
    plain_output=True, with_avg_pool=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ('form', 'widths'), [('none', []), ('linear', [(12, 12)]), ('mlp', [(12, 4), (4, 12)])]
)
@pytest.mark.parametrize('width', [None, 24])
def test_form_of_a_predictor_at_the_width_of_the_projector(form, widths, width):
    told = {} if width is None else {'projector__out_channels': width}
    built = head(PREDICTOR, predictor__form=form, **told)
    z = width or 12
    assert linears(built) == [tuple(z if w == 12 else w for w in pair) for pair in widths]
    x = torch.randn(4, z)
    (p,) = built([x])
    assert p.shape == x.shape
    if form == 'none':
        assert torch.equal(p, x) and not list(built.parameters())
    if form == 'linear':
        assert torch.equal(p, built.output[0](x)) and built.output[0].bias is not None


def test_no_predictor_of_another_width_than_z():
    with pytest.raises(
        GenotypeError, match='form none leaves z as it is, but the recipe has 12 in'
    ):
        head({**PREDICTOR, 'cell_channels': 8}, predictor__form='none')


# Barlow Twins' head is of mmpretrain and asks for the width itself.
@pytest.mark.parametrize('framework', sorted(set(FRAMEWORKS) - {'barlowtwins'}))
def test_what_is_as_wide_as_the_projection_follows(framework, tmp_path):
    model = model_of(framework, tmp_path, projector__out_channels=48)
    assert model.neck.output[0].out_features == 48
    loss = model.loss(**small.batch())['loss']
    loss.backward()
    assert loss.isfinite()
    if framework in PREDICTING:
        assert linears(model.head.predictor)[0][0] == linears(model.head.predictor)[-1][1] == 48
    if framework == 'mocov2':
        assert model.queue.shape == (48, 256)


def test_a_predictor_that_does_not_follow_is_refused(tmp_path):
    save_genotype(genotype(projector__out_channels=48), tmp_path / 'g.json')
    own = config('simsiam', genotype=str(tmp_path / 'g.json'))
    own.head.predictor = dict(
        type='NonLinearNeck', in_channels=32, hid_channels=8, out_channels=32, with_avg_pool=False,
        norm_cfg=dict(type='BN1d'),
    )  # fmt: skip
    with pytest.raises(GenotypeError, match='out_channels is 48, but NonLinearNeck takes 32 chan'):
        MODELS.build(own)


@pytest.mark.parametrize('framework', CONTRASTIVE)
def test_temperature_divides_the_similarities(framework, tmp_path):
    batch, losses = small.batch(), {}
    for temperature in (0.1, 0.5):
        model = model_of(framework, tmp_path, temperature=temperature)
        assert model.coupled == {'temperature': temperature}
        similarities = []
        model.head.loss_module.register_forward_pre_hook(
            lambda _, args, kept=similarities: kept.append(args[0])
        )
        torch.manual_seed(0)
        losses[temperature] = model.loss(**batch, update_state=False)['loss']
        losses[temperature, 'logits'] = similarities[0] * temperature
    assert losses[0.1] != losses[0.5]
    torch.testing.assert_close(losses[0.1, 'logits'], losses[0.5, 'logits'])


@pytest.mark.parametrize(
    ('framework', 'options', 'message'),
    [
        ('simsiam', dict(temperature=0.1), 'temperature: SimSiam has no temperature; take the cho'),
        ('byol', dict(temperature=0.1), 'temperature: BYOL has no temperature; take the choice'),
        ('simclr', dict(predictor_lr=10), 'predictor_lr: SimCLR has no predictor; take the choice'),
        (
            'mocov2',
            dict(predictor__form='none'),
            'decides predictor.form, but this MoCo has no pre',
        ),
    ],
)
def test_what_a_framework_does_not_have(framework, options, message, tmp_path):
    with pytest.raises(GenotypeError, match=message) as caught:
        model_of(framework, tmp_path, **options)
    assert str(caught.value).startswith("genotype '") and '\n' not in str(caught.value)


def test_operations_of_a_head_that_a_framework_does_not_have_are_passed_over(tmp_path):
    model = model_of('simclr', tmp_path, predictor__0__op='identity')
    assert linears(model.neck) == [(WIDTH, WIDTH), (WIDTH, 32)]


def test_a_head_s_own_genotype_decides_of_that_head_alone(tmp_path):
    for name, options in (('a', dict(projector__depth=3)), ('b', dict(temperature=0.1))):
        save_genotype(genotype(projector__width_ratio=2, **options), tmp_path / f'{name}.json')
    own = config('simclr', genotype=None)
    own.neck.genotype = str(tmp_path / 'a.json')
    assert len(linears(MODELS.build(own).neck)) == 3
    own.neck.genotype = str(tmp_path / 'b.json')
    message = r"b.json' decides temperature, which is of no head; set model.genotype in place of"
    with pytest.raises(GenotypeError, match=message):
        MODELS.build(own)


def test_a_genotype_must_be_of_the_space_beside_it(tmp_path):
    save_genotype(genotype(projector__depth=3), tmp_path / 'g.json')
    for depths in ([1, 3], [1, 2]):
        own = config('simclr', genotype=str(tmp_path / 'g.json'), space=dict(depth=depths))
        own.neck.pop('depth')
        if 3 in depths:
            assert len(linears(MODELS.build(own).neck)) == 3
        else:
            with pytest.raises(GenotypeError, match=r'takes 3 at projector.depth; the space has'):
                MODELS.build(own)


def test_a_gradient_searches_operations_within_what_a_space_fixes():
    space = dict(
        op=S, projector=dict(depth=[3], width_ratio=[2], out_channels=[48]), predictor_lr=[10],
        predictor=dict(op=S[::3], depth=[2]),
    )  # fmt: skip
    model = small.build('simsiam', space=space)
    assert [s[:2] for s in model.neck.cell.shapes] == [(WIDTH, 2 * WIDTH), (2 * WIDTH,) * 2]
    assert model.neck.cell.space == tuple(S)
    assert model.neck.output[0].out_features == 48
    assert [s[:2] for s in model.head.predictor.cell.shapes] == [(48, 16)]
    assert model.architecture.alpha('projector').shape == (2, 4)
    assert model.architecture.alpha('predictor').shape == (1, 2)
    assert model.fixed == {
        'projector.depth': Decision((3,), (3,)),
        'projector.width_ratio': Decision((2,), (2,)),
        'projector.out_channels': Decision((48,), (48,)),
        'predictor.depth': Decision((2,), (2,)),
        'predictor_lr': Decision((10,), (10,)),
    }
    assert model.loss(**small.batch())['loss'].isfinite()


def test_what_it_found_is_built_as_it_was_searched(tmp_path):
    space = dict(op=S, depth=[3], width_ratio=[2], output_norm=['bn'], temperature=[0.3])
    searched = small.build('simclr', space=space)
    rows = {f'projector.{n}.op': Decision(tuple(S), (S[n],)) for n in range(2)}
    save_genotype(Genotype('SimCLR', {**searched.fixed, **rows}), tmp_path / 'g.json')
    found = small.build('simclr', genotype=str(tmp_path / 'g.json'))
    alpha = searched.architecture.alpha('projector')
    alpha.copy_(torch.full_like(alpha, -1e4))
    for n in range(2):
        alpha[n, n] = 0.0
        ours, theirs = found.neck.cell.layers[n][S[n]], searched.neck.cell.layers[n].ops[S[n]]
        ours.load_state_dict(theirs.state_dict())
    found.neck.output.load_state_dict(searched.neck.output.state_dict())
    x = torch.randn(8, WIDTH, 2, 2)
    torch.testing.assert_close(found.neck((x,))[0], searched.neck((x,))[0])
    assert found.head.temperature == searched.head.temperature == 0.3


@pytest.mark.parametrize(
    ('space', 'message'),
    [
        (
            dict(op=S, depth=[2, 3]),
            'space.projector.depth: has 2 options, which no mixing by alpha',
        ),
        (dict(op=S, temperature=[0.1, 0.2]), 'space.temperature: has 2 options'),
        (dict(depth=[2]), 'the space leaves no operation of the projector to search; add op='),
        (dict(op=S, predictor=dict(depth=[2])), 'space.predictor: the model has no such head'),
        (dict(op=S, predictor_lr=[2]), 'predictor_lr: SimCLR has no predictor'),
    ],
)
def test_what_no_gradient_search_takes(space, message):
    with pytest.raises(ValueError, match=message) as caught:
        MODELS.build(config('simclr', space=space))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('space', [3, True, 0.5, [['identity']], [{}], {'op': {'x': ['identity']}}])
def test_what_is_no_space_at_all(space):
    with pytest.raises(ValueError, match='a space is a list of registered operation names, got'):
        MODELS.build(config('simclr', space=space))
