"""The modules of lossless.torch: in the place of PyTorch's, and as modules among others."""

from __future__ import annotations

import copy
import functools
import io
import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize

import lossless
import lossless.torch
from lossless.torch import CrossEntropyLoss, HuberLoss, LogCoshLoss
from support.frameworks.torch import gradient

CHOSEN = torch.tensor([0.5, 2.0, 0.25])
# A module of a tensor, where it keeps it, and a call of three classes or elements.
OF_TENSORS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "HuberLoss": (lambda delta: HuberLoss("sum", delta), "delta"),
    "CrossEntropyLoss": (lambda weight: CrossEntropyLoss(weight, reduction="sum"), "weight"),
}
of_tensors = pytest.mark.parametrize(("make", "name"), [*OF_TENSORS.values()], ids=OF_TENSORS)
X = torch.tensor([[3.0, -1.0, 0.75]])


def called(module: Any, x: Any = X) -> Any:
    of_labels = hasattr(module, "ignore_index")
    return module(x, torch.tensor([1], device=x.device) if of_labels else torch.zeros_like(x))


@of_tensors
def test_a_tensor_is_a_buffer(make: Any, name: str) -> None:
    """It goes where its module goes, as the weight of a loss of PyTorch does."""
    module = make(CHOSEN)
    assert [name] == [key for key, _ in module.named_buffers()] == list(module.state_dict())
    assert [] == list(module.parameters())
    expected = called(module)
    assert expected.item() > 0
    far = copy.deepcopy(module).to("meta")
    assert "meta" == getattr(far, name).device.type == called(far, X.to("meta")).device.type
    wide = copy.deepcopy(module).double()
    assert getattr(wide, name).dtype is called(wide, X.double()).dtype is torch.float64
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    other = make(torch.ones(3))
    assert not torch.equal(called(other), expected)
    other.load_state_dict(module.state_dict())
    model = torch.nn.Sequential(make(CHOSEN))
    assert [f"0.{name}"] == list(model.state_dict())
    for same in (
        copy.deepcopy(module), pickle.loads(pickle.dumps(module)),
        torch.load(file, weights_only=False), other, model[0],
    ):  # fmt: skip
        assert torch.equal(getattr(same, name), CHOSEN)
        assert torch.equal(called(same), expected)
    assert f"{name}=tensor of shape (3,)" in repr(model)


@of_tensors
def test_a_parameter_is_one_of_the_module(make: Any, name: str) -> None:
    module = make(torch.nn.Parameter(CHOSEN.clone()))
    assert [name] == [key for key, _ in module.named_parameters()] == list(module.state_dict())
    assert [] == list(module.buffers())
    called(module).backward()
    assert getattr(module, name).grad.count_nonzero() > 0


KINDS: dict[str, Any] = {
    "number": 2.0,
    "tensor": CHOSEN,
    "parameter": torch.nn.Parameter(CHOSEN * 2),
}


@pytest.mark.parametrize(("first", "second"), [*itertools.product(KINDS, KINDS)])
def test_an_option_may_be_set_to_another_kind(first: str, second: str) -> None:
    module = HuberLoss("sum", KINDS[first])
    module.delta = KINDS[second]
    assert torch.equal(called(module), called(HuberLoss("sum", KINDS[second])))
    assert ["delta"] * (second == "tensor") == [name for name, _ in module.named_buffers()]
    assert ["delta"] * (second == "parameter") == [name for name, _ in module.named_parameters()]
    assert (second == "number") == isinstance(module.delta, float)
    weighted = CrossEntropyLoss(None if first == "number" else KINDS[first])
    weighted.weight = None if second == "number" else KINDS[second]
    assert (second != "number") == ("weight" in weighted.state_dict())


WRONG: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (HuberLoss, {"delta": -1}, ValueError, "delta must be > 0, got -1"),
    (HuberLoss, {"delta": 0.0}, ValueError, "delta must be > 0, got 0.0"),
    (HuberLoss, {"delta": float("nan")}, ValueError, "delta must be > 0, got nan"),
    (HuberLoss, {"delta": "mean"}, TypeError, r"delta .* \(did you mean reduction='mean'\?\)"),
    (HuberLoss, {"delta": None}, TypeError, "delta must be a real number .* got None"),
    (HuberLoss, {"delta": 1j}, TypeError, "delta must be a real number .* got 1j"),
    (HuberLoss, {"delta": torch.tensor(1j)}, TypeError, "delta must be real numbers"),
    (HuberLoss, {"delta": [1.0]}, TypeError, "delta must be a number or a tensor, got a list"),
    (HuberLoss, {"delta": np.ones(3)}, TypeError, "delta must be .*, got a ndarray"),
    (CrossEntropyLoss, {"weight": [1.0, 2.0]}, TypeError, "weight must be .*, got a list"),
    (CrossEntropyLoss, {"weight": 2.0}, TypeError, "weight must be a tensor or None, got 2.0"),
    (CrossEntropyLoss, {"weight": "sum"}, TypeError, "weight must be a tensor or None, got 'sum'"),
    (CrossEntropyLoss, {"weight": torch.tensor([1j])}, TypeError, "weight must be real numbers"),
    (CrossEntropyLoss, {"ignore_index": 1.5}, TypeError, "ignore_index must be an integer"),
    (CrossEntropyLoss, {"label_smoothing": -0.1}, ValueError, r"label_smoothing .* \[0, 1\]"),
    (CrossEntropyLoss, {"label_smoothing": 1.1}, ValueError, r"label_smoothing .* got 1\.1"),
    (CrossEntropyLoss, {"label_smoothing": float("nan")}, ValueError, "label_smoothing .* got nan"),
    (
        CrossEntropyLoss,
        {"label_smoothing": torch.tensor(0.1)},
        TypeError,
        "label_smoothing must be a number",
    ),
    (CrossEntropyLoss, {"label_smoothing": "sum"}, TypeError, r"label_smoothing .* \(did you mean"),
    (CrossEntropyLoss, {"reduction": "weighted_mean"}, ValueError, "reduction must be one of"),
    *[
        (module, {"reduction": wrong}, ValueError, f"reduction must be one of .*, got {wrong!r}")
        for module in (HuberLoss, LogCoshLoss, CrossEntropyLoss)
        for wrong in ("batchmean", None)
    ],
]


@pytest.mark.parametrize(("module", "options", "error", "message"), WRONG)
def test_wrong_options_are_errors_where_they_are_set(
    module: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{module.__name__}: {message}"):
        module(**options)
    right = module()
    before = dict(vars(right))
    with pytest.raises(error, match=f"^{module.__name__}: {message}"):
        setattr(right, *next(iter(options.items())))
    assert before == vars(right)


@pytest.mark.parametrize("module", [HuberLoss, LogCoshLoss])
def test_modules_name_the_shapes_that_differ(module: Any) -> None:
    with pytest.raises(ValueError, match=r"_loss: targets must have the shape of inputs \(4, 1\)"):
        module()(torch.ones(4, 1), torch.ones(4))


def test_cross_entropy_module_names_what_is_wrong_with_a_call() -> None:
    x = torch.ones(4, 3)
    with pytest.raises(ValueError, match=r"CrossEntropyLoss: weight .* \(3,\), .* got \(2,\)"):
        CrossEntropyLoss(torch.ones(2))(x, torch.ones(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"ignore_index must be < 0 .* got 1"):
        CrossEntropyLoss(ignore_index=1)(x, x)
    for options in ({}, {"weight": CHOSEN}, {"weight": CHOSEN, "label_smoothing": 0.1}):
        criterion: Any = CrossEntropyLoss(**options)
        with pytest.raises(IndexError, match="must be class indices from 0 to 2, got 3 at"):
            criterion(x, torch.tensor([0, 3, 1, 0]))
        with pytest.raises(TypeError, match="must be class indices"):
            criterion(x, torch.ones(4))
        with pytest.raises(ValueError, match=r"target .* shape of input \(4, 3\), .* got \(4, 1\)"):
            criterion(x, torch.ones(4, 1, dtype=torch.int64))
        with pytest.raises(ValueError, match=r"must have the shape of (logits|input) without"):
            criterion(x, torch.ones(3, dtype=torch.int64))


class Positive(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.exp()

    def right_inverse(self, x: Any) -> Any:
        return x.log()


@of_tensors
def test_modules_in_pytorchs_tools(make: Any, name: str) -> None:
    """Whatever replaces the tensors of a module, replaces those of ours."""
    module = make(torch.nn.Parameter(CHOSEN.clone()))
    expected, other = called(module).detach(), CHOSEN.roll(1)
    swapped = called(make(other))
    assert not torch.equal(swapped, expected)
    target = torch.zeros_like(X) if name == "delta" else torch.tensor([1])
    called_with = torch.func.functional_call(module, {name: other}, (X, target))
    assert torch.equal(called_with, swapped)
    # As torch.nn.DataParallel copies modules to devices: what were parameters are tensors.
    replica = module._replicate_for_data_parallel()
    setattr(replica, name, getattr(module, name).clone())
    slope = gradient(called(replica), getattr(module, name))
    assert slope.count_nonzero() > 0
    parametrize.register_parametrization(module, name, Positive())
    assert (abs(called(module) - expected) <= 2.0**-20 * expected).all()
    setattr(module, name, other)
    assert (abs(called(module) - swapped) <= 2.0**-20 * swapped).all()
    parametrize.remove_parametrizations(module, name)
    assert [name] == list(module.state_dict())
    compiled = torch.compile(make(CHOSEN), backend="aot_eager", fullgraph=True)
    assert (abs(called(compiled) - expected) <= 2.0**-20 * expected).all()
    exported = torch.export.export(make(CHOSEN), (X, target))
    assert [name] == list(exported.state_dict)
    assert (abs(exported.module()(X, target) - expected) <= 2.0**-20 * expected).all()


def test_a_delta_that_is_set_counts_in_compiled_modules() -> None:
    module = HuberLoss("sum", 0.5)
    compiled: Any = torch.compile(module, backend="eager", fullgraph=True)
    for delta in (0.5, 2.0, CHOSEN, 3.0):
        module.delta = delta
        expected = lossless.huber_loss(X, torch.zeros_like(X), delta, "sum")
        assert abs(called(compiled) - expected) <= 2.0**-20 * expected


# In the place of PyTorch's


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_huber_module_takes_the_place_of_torchs(reduction: Any) -> None:
    torch.manual_seed(1)
    x, t = torch.randn(50, requires_grad=True), torch.randn(50)
    choices: list[dict[str, Any]] = [{}, {"reduction": reduction, "delta": 0.5}]
    for options in choices:
        ours: Any = HuberLoss(**options)
        theirs: Callable[..., Any] = torch.nn.HuberLoss(**options)
        value, expected = ours(x, t), theirs(input=x, target=t)
        assert expected.shape == value.shape
        assert torch.equal(value, ours(input=x, target=t))
        assert (abs(value - expected) <= 2.0**-20 * abs(expected)).all()
        slope, other = gradient(value.sum(), x), gradient(expected.sum(), x)
        assert (abs(slope - other) <= 2.0**-22 * abs(other)).all()


def test_modules_pass_their_options_on() -> None:
    x, t = torch.tensor([0.5, 3.0, -2.0]), torch.tensor([0.25, 1.0, 1.0])
    weights, mask = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, True, False])
    huber: Any = functools.partial(lossless.huber_loss, delta=0.75)
    for module, function in (
        (HuberLoss("weighted_mean", 0.75), huber),
        (LogCoshLoss("weighted_mean"), lossless.log_cosh_loss),
    ):
        actual = module(x, t, weights=weights, where=mask)
        assert torch.equal(
            actual, function(x, t, reduction="weighted_mean", weights=weights, where=mask)
        )
    assert () == LogCoshLoss()(x, t).shape
    assert "LogCoshLoss(reduction='sum')" == repr(LogCoshLoss("sum"))
    model = torch.nn.Sequential(LogCoshLoss())
    assert "(0): LogCoshLoss(reduction='mean')" in repr(model)


SHAPES = [(5,), (4, 5), (3, 5, 2), (2, 3, 2, 3), (3, 1), (0, 4)]
IGNORED = ("none", "some", "all", "class 1")


def entropy_cases(shape: tuple[int, ...], dtype: Any) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Logits and targets, with every choice of options."""
    torch.manual_seed(len(shape))
    classes = shape[1] if len(shape) > 1 else shape[0]
    rows = shape[:1] + shape[2:] if len(shape) > 1 else ()
    found: list[tuple[Any, Any, dict[str, Any]]] = []
    for weighted, smoothing, reduction, ignored in itertools.product(
        (False, True), (0.0, 0.1, 1.0), ("mean", "sum", "none"), (*IGNORED, "probabilities")
    ):
        x = (3 * torch.randn(shape, dtype=torch.float64)).to(dtype)
        t = torch.randint(0, classes, rows)
        options: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing}
        options["weight"] = torch.rand(classes) + 0.5 if weighted else None
        if ignored == "probabilities":  # that do not add up to 1
            t = torch.rand(shape, dtype=torch.float64).to(dtype)
        elif ignored == "class 1":
            options["ignore_index"] = 1
        elif ignored != "none":
            t = torch.where((torch.rand(rows) < 0.5) | (ignored == "all"), -100, t)
        found.append((x, t, options))
    return found


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Beside other processes, PyTorch's threads wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy_module_takes_the_place_of_torchs(shape: tuple[int, ...], dtype: Any) -> None:
    """Every choice of options: the module of PyTorch in float64, but for roundings.

    A gradient may be off by a small part of the terms that cancel in it, which are less than 8
    here, and PyTorch's value by as little of its logits.
    """
    eps, least = torch.finfo(dtype).eps, torch.finfo(dtype).tiny * torch.finfo(dtype).eps
    for x, t, options in entropy_cases(shape, dtype):
        exact = {name: o.double() if name == "weight" and o is not None else o
                 for name, o in options.items()}  # fmt: skip
        theirs: Any = torch.nn.CrossEntropyLoss(**exact)
        wide = x.double().requires_grad_()
        expected = theirs(wide, t.double() if t.is_floating_point() else t)
        factors = torch.linspace(1, 2, expected.numel(), dtype=dtype).reshape(expected.shape)
        expected_slope = gradient(expected, wide, cotangent=factors.double())
        a = x.clone().requires_grad_()
        ours: Any = CrossEntropyLoss(**options)
        value = ours(a, t)
        slope = gradient(value, a, cotangent=factors)
        assert (expected.shape, dtype, dtype) == (value.shape, value.dtype, slope.dtype)
        for actual, right in ((value, expected), (slope, expected_slope)):
            assert torch.equal(actual.isnan(), right.isnan())
            off = (actual.double() - right).abs().nan_to_num()
            bound = (eps * right.abs()).nan_to_num() + 8.0 * 2.0**-46 + least
            assert (off <= bound).all(), (x, t, options, actual, right)


def test_cross_entropy_module_by_hand() -> None:
    """Softmax (1/8, 1/8, 3/4); the mean with weights and -100; probabilities that add up to 3/2."""
    x = torch.tensor([[0.0, 0.0, 6.0], [1.0, 1.0, 2.0]], dtype=torch.float64)
    x[:, 2] = x[:, 1] + torch.tensor(6.0, dtype=torch.float64).log()
    log = torch.tensor([8.0, 8.0, 8 / 6], dtype=torch.float64).log()
    weight = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    labels = torch.tensor([1, -100])
    value = CrossEntropyLoss(weight)(x, labels)  # 2 log 8 / 2
    assert abs(value - log[0]) <= 2.0**-51 * value
    value = CrossEntropyLoss(weight, label_smoothing=0.5)(x, torch.tensor([1, 2]))
    shared = (log * weight).sum() / 6
    expected = (0.5 * (2 * log[1] + 4 * log[2]) + 2 * shared) / 6
    assert abs(value - expected) <= 2.0**-50 * expected
    a = x.clone().requires_grad_()
    t = torch.tensor([[0.5, 0.0, 1.0], [0.25, 1.0, 0.25]], dtype=torch.float64)
    value = CrossEntropyLoss(reduction="sum")(a, t)
    expected = (t * log).sum()
    assert abs(value - expected) <= 2.0**-50 * expected
    slope = 1.5 * torch.tensor([0.125, 0.125, 0.75], dtype=torch.float64) - t
    assert (abs(gradient(value, a) - slope) <= 2.0**-50).all()  # a part of the terms, up to 1.5


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_module_has_two_derivatives(soft: bool, label_smoothing: float) -> None:
    """By logits, weights and probabilities."""
    torch.manual_seed(2)
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(4, dtype=torch.float64, requires_grad=True)
    t: Any = torch.randint(0, 4, (3, 2))
    t[0, 0] = -100
    if soft:
        t = torch.rand(3, 4, 2, dtype=torch.float64, requires_grad=True)

    def loss(x: Any, weight: Any, t: Any) -> Any:
        return CrossEntropyLoss(weight, label_smoothing=label_smoothing)(x, t)

    assert torch.autograd.gradcheck(loss, (x, weight, t))
    assert torch.autograd.gradgradcheck(loss, (x, weight, t))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_cross_entropy_module_labels_of_any_integers(dtype: Any) -> None:
    """Also where -100 is no number of the dtype: 156 is another class."""
    x = torch.linspace(-2, 2, 2 * 157).reshape(2, 157)
    labels = torch.tensor([100, 3] if dtype is torch.int8 else [156, 3])
    value = CrossEntropyLoss()(x, labels)
    assert torch.equal(value, lossless.cross_entropy(x, labels, reduction="mean"))
    assert torch.equal(value, CrossEntropyLoss()(x, labels.to(dtype)))


def test_cross_entropy_module_leaves_rows_out() -> None:
    """By `where`, as by their labels, even with NaN."""
    x = torch.tensor([[1.0, 2.0, 0.5], [torch.nan, 1.0, 0.0], [0.0, 3.0, 1.0]])
    mask = torch.tensor([True, False, True])
    labels = torch.tensor([2, 77, -100])
    for weight in (None, CHOSEN):
        for smoothing in (0.0, 0.25):
            criterion = CrossEntropyLoss(weight, label_smoothing=smoothing)
            a = x.clone().requires_grad_()
            value = criterion(a, labels, where=mask)
            assert torch.equal(value, criterion(x[:1], labels[:1]))
            assert torch.equal(gradient(value, a)[1:], torch.zeros(2, 3))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("options", [{}, {"weight": CHOSEN}, {"label_smoothing": 0.2}])
def test_cross_entropy_module_compiled_and_mapped(options: dict[str, Any], soft: bool) -> None:
    """In one graph, and by vmap over a batch of batches: the module within the formulas' bound."""
    torch.manual_seed(4)
    x, weight = torch.randn(3, 4, 3), CHOSEN
    t: Any = torch.rand(3, 4, 3) if soft else torch.randint(0, 3, (3, 4))
    criterion = CrossEntropyLoss(**{"weight": weight, **options})
    expected = torch.stack([criterion(*pair) for pair in zip(x, t, strict=True)])
    mapped = torch.func.vmap(criterion)(x, t)
    compiled = torch.compile(criterion, backend="aot_eager", fullgraph=True)
    looped = torch.stack([compiled(*pair) for pair in zip(x, t, strict=True)])
    for actual in (mapped, looped):
        assert (abs(actual - expected) <= 2.0**-21 * expected).all()
