# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Each candidate operation equals a formula written here with plain arithmetic."""

import pytest
import torch
from torch import nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.models.choice import ChoiceCell
from nasiam_mm.ops.candidates import (
    CANDIDATE_OPS,
    MAX_WIDTH,
    SPACES,
    LayerShape,
    build_op,
    candidate_labels,
    check_space,
    distinct_candidates,
    layer_shapes,
)
from nasiam_mm.ops.head import linear_block

ACTIVATIONS = {
    'linear_bn_relu': lambda x: x * (x > 0),
    'linear_bn_silu': lambda x: x / (1 + (-x).exp()),
    'linear_bn_hardswish': lambda x: x * (x + 3).clamp(0, 6) / 6,
    'linear_bn_elu': lambda x: torch.where(x > 0, x, x.exp() - 1),
}
WIDTHS = [(7, 7), (7, 5), (5, 7)]
# Those of maps are in test_map_ops.py.
OF_VECTORS = [
    name
    for name, op in sorted(CANDIDATE_OPS.module_dict.items())
    if 'vectors' in getattr(op, 'kinds', ('vectors',))
]


def affine(x, layer):
    out = torch.zeros(len(x), layer.out_features, dtype=x.dtype)
    for i in range(layer.in_features):
        out += x[:, i : i + 1] * layer.weight[:, i]
    return out if layer.bias is None else out + layer.bias


def batch_norm(x, layer):
    """Train mode: mean and biased variance of the batch."""
    mean = x.sum(0) / len(x)
    variance = ((x - mean) ** 2).sum(0) / len(x)
    return (x - mean) / (variance + 1e-5).sqrt() * layer.weight + layer.bias


def pool(x, kind):
    out = torch.empty_like(x)
    for n, row in enumerate(x):
        for c in range(len(row)):
            near = [row[j] for j in (c - 1, c, c + 1) if 0 <= j < len(row)]
            # The rim: nothing beyond it wins a maximum, zeros beyond it enter the mean.
            out[n, c] = max(near) if kind == 'max' else sum(near) / 3
    return out


def expected(name, op, x, is_output):
    linears = [layer for layer in op if isinstance(layer, nn.Linear)]
    norms = [layer for layer in op if isinstance(layer, nn.BatchNorm1d)]
    if linears:
        x = affine(x, linears[0])
    if 'pool' in name:
        x = pool(x, name[:3])
    assert bool(norms) == (not is_output and name not in ('linear', 'identity'))
    if norms:
        x = batch_norm(x, norms[0])
        x = ACTIVATIONS.get(name, lambda x: x)(x)
    return x


def test_registered_are_those_of_the_papers():
    # An example of one's own may have been imported by a test before.
    ours = {n for n in OF_VECTORS if CANDIDATE_OPS.get(n).__module__[:7] != 'example'}
    assert ours == {
        'linear',
        'identity',
        'max_pool_3_bn',
        'avg_pool_3_bn',
        *ACTIVATIONS,
    }
    assert SPACES['S'] == ('linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity')
    assert SPACES["S'"] == tuple(op for op in SPACES['S'] if 'pool' not in op)
    assert set(SPACES['S+']) == {*SPACES['S'], *ACTIVATIONS}


@pytest.mark.parametrize('is_output', [False, True], ids=['inner', 'output'])
@pytest.mark.parametrize('widths', WIDTHS, ids=str)
@pytest.mark.parametrize('name', OF_VECTORS)
def test_op_equals_formula(name, widths, is_output):
    op = build_op(name, *widths, is_output).double()
    for parameter in op.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(6, widths[0], dtype=torch.double)
    with torch.no_grad():
        assert torch.allclose(op.train()(x), expected(name, op, x, is_output), atol=1e-12)


@pytest.mark.parametrize(
    ('name', 'widths', 'is_output', 'parameters'),
    [
        # Where BatchNorm follows, its shift stands in for the bias.
        ('linear_bn_relu', (7, 5), False, 7 * 5 + 2 * 5),
        ('linear_bn_relu', (7, 5), True, 7 * 5 + 5),
        ('max_pool_3_bn', (7, 7), False, 2 * 7),
        ('max_pool_3_bn', (7, 7), True, 0),
        ('avg_pool_3_bn', (7, 5), False, 7 * 5 + 2 * 5),
        ('avg_pool_3_bn', (7, 5), True, 7 * 5 + 5),
        ('identity', (7, 7), False, 0),
        ('identity', (7, 7), True, 0),
        ('identity', (7, 5), False, 7 * 5 + 5),
        ('linear', (7, 7), False, 7 * 7 + 7),
    ],
)
def test_parameters(name, widths, is_output, parameters):
    assert sum(p.numel() for p in build_op(name, *widths, is_output).parameters()) == parameters


def test_eval_mode_uses_running_statistics():
    op = build_op('linear_bn_elu', 4, 3).double()
    x, y = torch.randn(2, 8, 4, dtype=torch.double)
    with torch.no_grad():
        op.train()(x)
        before = affine(x, op[0])
        mean, variance = 0.1 * before.mean(0), 0.9 + 0.1 * before.var(0, unbiased=True)
        normal = (affine(y, op[0]) - mean) / (variance + 1e-5).sqrt()
        assert torch.allclose(op.eval()(y), ACTIVATIONS['linear_bn_elu'](normal), atol=1e-12)


def test_identity_returns_its_input():
    x = torch.randn(3, 5)
    assert build_op('identity', 5, 5)(x) is x


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('linear_gelu', 4, 4), "unknown candidate operation 'linear_gelu'; registered are "),
        (('identity', 0, 4), 'in_channels of a head layer must be an integer from 1 to '),
        (('identity', 4, -1), 'out_channels of a head layer must be an integer from 1 to '),
        (('identity', 4, 4.0), 'out_channels of a head layer must be an integer .*got 4.0'),
        (('identity', True, 4), 'in_channels of a head layer must be an integer .*got True'),
        (('identity', '4', 4), "in_channels of a head layer must be an integer .*got '4'"),
        (('identity', 4, MAX_WIDTH + 1), 'out_channels .* from 1 to 1048576, got 1048577'),
    ],
)
def test_build_op_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_op(*arguments)


@pytest.mark.parametrize(
    ('space', 'message'),
    [
        ([], 'a space is a list of registered operation names, got '),
        ('identity', "a space is a list of registered operation names, got 'identity'"),
        (
            ['identity', 'linear', 'identity'],
            r"names each operation once; repeated: \['identity'\]",
        ),
        (['identity', 'conv'], "unknown candidate operation 'conv'"),
        ([3], 'unknown candidate operation 3'),
        (['half'], "an operation cannot be called 'half', which torch forbids or uses itself"),
        (['a.b'], r"an operation cannot be called 'a\.b'"),
    ],
)
def test_spaces_are_checked(register, space, message):
    for name in ('half', 'a.b'):
        register(name=name, module=CANDIDATE_OPS.get('linear'))
    with pytest.raises(ValueError, match=message):
        check_space(space)
    with pytest.raises(ValueError, match=message):
        distinct_candidates(space, LayerShape(4, 4))


S, PLAIN, PLUS = SPACES['S'], SPACES["S'"], SPACES['S+']


@pytest.mark.parametrize(
    ('space', 'shape', 'candidates'),
    [
        (S, (512, 512, False), dict(enumerate(S))),
        (S, (512, 512, True), {0: 'linear', 1: S[1], 2: S[2], 3: 'identity'}),
        (S, (2048, 512, False), {0: S[0], 1: S[1], 2: S[2], 3: 'linear'}),
        (S, (512, 2048, True), {0: 'linear', 1: S[1], 2: S[2]}),
        (PLAIN, (512, 512, False), dict(enumerate(PLAIN))),
        (PLAIN, (2048, 512, False), {0: 'linear_bn_relu', 1: 'linear'}),
        (PLAIN, (512, 2048, True), {0: 'linear'}),
        (PLUS, (512, 512, False), dict(enumerate(PLUS))),
        (PLUS, (2048, 512, False), {**dict(enumerate(PLUS)), 6: 'linear'}),
        (PLUS, (512, 512, True), {0: 'linear', 4: PLUS[4], 5: PLUS[5], 6: 'identity'}),
        (PLUS, (512, 2048, True), {0: 'linear', 4: PLUS[4], 5: PLUS[5]}),
        # The survivor takes the place of the first duplicate, whatever the order.
        (S[::-1], (512, 2048, True), {0: 'linear', 1: S[2], 2: S[1]}),
        (('max_pool_3_bn', 'linear', 'identity'), (4, 5, False), {0: 'max_pool_3_bn', 1: 'linear'}),
    ],
)
def test_duplicates_are_merged(space, shape, candidates):
    assert distinct_candidates(space, LayerShape(*shape)) == candidates


@pytest.mark.parametrize('is_output', [False, True])
@pytest.mark.parametrize('widths', [(1, 1), (512, 512), (1, 2), (2048, 512), (3, 2**20)], ids=str)
@pytest.mark.parametrize('space', SPACES)
def test_own_operations_are_told_apart_as_any_others_are(register, space, widths, is_output):
    # The same builders under a module of their own are compared at these very widths.
    names = {name: f'my_{name}' for name in SPACES[space]}
    for name, mine in names.items():
        register(name=mine, module=lambda *args, _op=name, **kw: build_op(_op, *args, **kw))
    shape = LayerShape(*widths, is_output)
    labels = candidate_labels(list(names.values()), shape)
    expected = candidate_labels(SPACES[space], shape)
    assert {name: labels[mine].removeprefix('my_') for name, mine in names.items()} == expected


@pytest.mark.parametrize('widths', [(0, 4), (4, MAX_WIDTH + 1), (4.0, 4)])
def test_impossible_widths_have_no_candidates(widths):
    with pytest.raises(ValueError, match='of a head layer must be an integer from 1 to 1048576'):
        candidate_labels(PLUS, LayerShape(*widths))


def test_an_own_name_registered_anew_is_another_operation(register, monkeypatch):
    monkeypatch.setitem(CANDIDATE_OPS.module_dict, 'identity', CANDIDATE_OPS.get('identity'))
    shape = LayerShape(512, 512)
    assert distinct_candidates(('linear', 'identity'), shape) == {0: 'linear', 1: 'identity'}

    @register(name='identity', force=True)
    def identity(in_channels, out_channels, is_output=False):
        return nn.Sequential(nn.Linear(in_channels, out_channels))

    assert distinct_candidates(('linear', 'identity'), shape) == {0: 'linear'}


def test_looking_for_duplicates_draws_no_random_number():
    before = torch.get_rng_state()
    distinct_candidates(PLUS, LayerShape(64, 32, True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def register():
    """Register an operation for one test."""
    names = set(CANDIDATE_OPS.module_dict)
    yield CANDIDATE_OPS.register_module
    for name in set(CANDIDATE_OPS.module_dict) - names:
        CANDIDATE_OPS.module_dict.pop(name)


def test_registering_is_all_a_new_op_needs(register):
    @register()
    def linear_bn_softplus(in_channels, out_channels, is_output=False):
        return linear_block(nn.Softplus, in_channels, out_channels, is_output)

    space, shapes = (*S, 'linear_bn_softplus'), layer_shapes(6, [6, 4, 6], plain_output=True)
    cell = ChoiceCell('projector', space, shapes)
    architecture = Architecture({'projector': op_choices('projector', space, shapes)})
    cell.bind(architecture)
    alpha = architecture.alpha('projector').requires_grad_()
    assert alpha.shape == (3, 5)
    assert [set(layer.candidates) for layer in cell.layers] == [
        {0, 1, 2, 3, 4},
        {0, 1, 2, 3, 4},
        # A third linear map at the output is merged as well.
        {0, 1, 2},
    ]
    cell(torch.randn(8, 6)).square().sum().backward()
    assert (alpha.grad[:2, 4] != 0).all() and alpha.grad[2, 4] == 0


def test_new_op_with_a_wrong_width_is_refused(register):
    @register()
    def halves(in_channels, out_channels, is_output=False):
        return nn.Linear(in_channels, out_channels // 2)

    with pytest.raises(ValueError, match=r"'halves' maps \(2, 6\) to \(2, 2\); it must give"):
        distinct_candidates(['identity', 'halves'], LayerShape(6, 4))


def test_modules_that_hide_their_state_are_not_merged(register):
    class Scaled(nn.Linear):
        def forward(self, x):
            return 3 * super().forward(x)

    register(name='scaled', module=lambda i, o, is_output=False: Scaled(i, o))
    assert distinct_candidates(['identity', 'scaled'], LayerShape(6, 4)) == {
        0: 'linear',
        1: 'scaled',
    }
