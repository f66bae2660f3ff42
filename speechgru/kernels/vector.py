"""Vectors inside numba: the few operations that must be exact machine instructions.

Numba vectorises a loop only if it can prove enough about it, which it never can for the
matrix-vector product at the heart of a recurrent cell. So a vector is a type here (`Vec`), with
arithmetic operators, and the product (`tile`) emits its own LLVM code. Everything else in the
kernels is ordinary Python compiled by numba.

Memory is a plain integer address: kernels slice rows at offsets that differ per utterance, and
address arithmetic compiles fast and means the same in every loop.

A `Machine` is the first argument of every kernel function. It is only a type: the cell, the element
type and the vector length that it stands for are constants to the compiler.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import numba.extending
from llvmlite import binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_cast,
    models,
    register_model,
)

from speechgru.kernels.gates import GateShape

# Numba compares parameters with their annotations unless told otherwise.
overload = functools.partial(numba.extending.overload, strict=False)

I64 = ir.IntType(64)
I32 = ir.IntType(32)


def has_feature(name: str) -> bool:
    """Whether numba compiles for a processor with this feature of LLVM's, and LLVM knows it."""
    if llvm.llvm_version_info[0] < 16:  # has no bfloat
        return False
    if config.CPU_NAME or config.CPU_FEATURES is not None:  # set by the user
        return f"+{name}" in (config.CPU_FEATURES or "").split(",")
    return bool(llvm.get_host_cpu_features().get(name))


def _element(bits: int) -> ir.Type:
    return ir.FloatType() if bits == 32 else ir.DoubleType()


class BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite does not define."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


class Vec(types.Type):  # type: ignore[misc]
    """`lanes` floats of `bits` bits in one register."""

    def __init__(self, bits: int, lanes: int) -> None:
        self.bits, self.lanes = bits, lanes
        super().__init__(name=f"Vec(f{bits}x{lanes})")

    @property
    def llvm(self) -> ir.VectorType:
        return ir.VectorType(_element(self.bits), self.lanes)

    @property
    def suffix(self) -> str:
        return f"v{self.lanes}f{self.bits}"

    @property
    def bytes(self) -> int:
        return self.lanes * self.bits // 8


@register_model(Vec)
class _VecModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Vec) -> None:
        super().__init__(dmm, fe_type, fe_type.llvm)


class Machine(types.Type):  # type: ignore[misc]
    """The constants of one compiled kernel: cell, float type, number of lanes.

    `bf16`: products multiply pairs of bfloat16, 32 bits each, and sum in float32.
    """

    def __init__(self, cell: str, shape: GateShape, bits: int, lanes: int, bf16: bool) -> None:
        self.cell, self.shape, self.vec, self.bf16 = cell, shape, Vec(bits, lanes), bf16
        super().__init__(name=f"Machine({cell}, {shape}, f{bits}x{lanes}, {bf16})")

    @property
    def factors(self) -> int:
        """Neighbours in a sum in each element: 2 in bfloat16, else 1."""
        return 2 if self.bf16 else 1


@register_model(Machine)
class _MachineModel(models.OpaqueModel):  # type: ignore[misc]
    pass


def _function(b: Any, name: str, result: ir.Type, args: list[ir.Type]) -> Any:
    return cgutils.get_or_insert_function(b.module, ir.FunctionType(result, args), name)


# --- arithmetic -------------------------------------------------------------------------------

_BINARY = {
    operator.add: "fadd",
    operator.sub: "fsub",
    operator.mul: "fmul",
    operator.truediv: "fdiv",
}


def _constant(vec: Vec, value: float) -> ir.Constant:
    return ir.Constant(vec.llvm, [value] * vec.lanes)


def _splat(builder: Any, value: Any, vec: ir.VectorType) -> Any:
    one = builder.insert_element(ir.Constant(vec, ir.Undefined), value, I32(0))
    mask = ir.Constant(ir.VectorType(I32, vec.count), None)
    return builder.shuffle_vector(one, ir.Constant(vec, ir.Undefined), mask)


@lower_cast(types.Float, Vec)
@lower_cast(types.Integer, Vec)
def _from_scalar(ctx: Any, builder: Any, fromty: Any, toty: Vec, value: Any) -> Any:
    target = types.float32 if toty.bits == 32 else types.float64
    return _splat(builder, ctx.cast(builder, value, fromty, target), toty.llvm)


def _register(op: Callable[..., Any], instruction: str) -> None:
    @infer_global(op)
    class _Typing(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) != 2 or not any(isinstance(a, Vec) for a in args):
                return None
            vec = next(a for a in args if isinstance(a, Vec))
            if all(isinstance(a, Vec | types.Float | types.Integer) for a in args):
                return signature(vec, vec, vec)
            return None

    @lower_builtin(op, Vec, Vec)
    def _lower(ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
        # 'contract' alone: a product and a sum may fuse, nothing may be reordered.
        return getattr(builder, instruction)(*args, flags=("contract",))


for _op, _instruction in _BINARY.items():
    _register(_op, _instruction)


@intrinsic
def below(typingctx: Any, x: Any, low: Any) -> Any:
    """`low` where x < low, else x (so that a NaN stays a NaN)."""
    if not isinstance(x, Vec):
        return None

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        low = ctx.cast(b, args[1], sig.args[1], x)
        return b.select(b.fcmp_ordered("<", args[0], low), low, args[0])

    return x(x, low), codegen


@intrinsic
def above(typingctx: Any, x: Any, high: Any) -> Any:
    """`high` where x > high, else x (so that a NaN stays a NaN)."""
    if not isinstance(x, Vec):
        return None

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        high = ctx.cast(b, args[1], sig.args[1], x)
        return b.select(b.fcmp_ordered(">", args[0], high), high, args[0])

    return x(x, high), codegen


@intrinsic
def where_positive(typingctx: Any, test: Any, x: Any) -> Any:
    """x where test > 0, else 0 (but a NaN where test is NaN)."""
    if not isinstance(x, Vec):
        return None

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(x.llvm, None)
        return b.select(b.fcmp_ordered("<=", args[0], zero), zero, args[1])

    return x(test, x), codegen


@intrinsic
def exp(typingctx: Any, x: Any) -> Any:
    """The C library's exponential, lane by lane: exact and slow."""
    if not isinstance(x, Vec):
        return None

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.call(_function(b, f"llvm.exp.{x.suffix}", x.llvm, [x.llvm]), args)

    return x(x), codegen


# --- memory -----------------------------------------------------------------------------------


def _pointer(b: Any, address: Any, pointee: ir.Type) -> Any:
    return b.inttoptr(address, pointee.as_pointer())


def _load(b: Any, address: Any, vec: Vec) -> Any:
    value = b.load(_pointer(b, address, vec.llvm))
    value.align = vec.bits // 8
    return value


def _store(b: Any, address: Any, value: Any, align: int) -> None:
    b.store(value, _pointer(b, address, value.type)).align = align


@intrinsic
def peek(typingctx: Any, address: Any, index: Any) -> Any:
    """The index-th int64 at an address."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        value = b.load(b.gep(_pointer(b, args[0], I64), [args[1]]))
        value.align = 4
        return value

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def poke(typingctx: Any, address: Any, value: Any) -> Any:
    """Write an int64 at an address (which need not be aligned)."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        _store(b, args[0], args[1], 4)
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def read(typingctx: Any, address: Any, into: Any) -> Any:
    """A named tuple of int64 from memory."""
    if not isinstance(into, types.NamedTupleClass):
        return None
    count = len(into.instance_class._fields)
    result = types.NamedUniTuple(types.int64, count, into.instance_class)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        base = _pointer(b, args[0], I64)
        return ctx.make_tuple(b, result, [b.load(b.gep(base, [I64(i)])) for i in range(count)])

    return result(types.int64, into), codegen


@intrinsic
def constant(typingctx: Any, machine: Any, name: Any) -> Any:
    """A number of the machine: gates, saved, states, wide, lanes, bytes (of a vector), factors."""
    if not isinstance(name, types.StringLiteral):
        return None
    holders = {"lanes": machine.vec, "bytes": machine.vec, "factors": machine}
    value = getattr(holders.get(name.literal_value, machine.shape), name.literal_value)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return ctx.get_constant(types.int64, value)

    return types.int64(machine, name), codegen


@intrinsic
def store(typingctx: Any, address: Any, x: Any) -> Any:
    if not isinstance(x, Vec):
        return None

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        _store(b, args[0], args[1], x.bits // 8)
        return ctx.get_dummy_value()

    return types.void(types.int64, x), codegen


def _mask(b: Any, count: Any, lanes: int) -> Any:
    lane = ir.Constant(ir.VectorType(I64, lanes), list(range(lanes)))
    return b.icmp_signed("<", lane, _splat(b, count, ir.VectorType(I64, lanes)))


@intrinsic
def store_first(typingctx: Any, address: Any, x: Any, count: Any) -> Any:
    """Store the first `count` lanes."""
    if not isinstance(x, Vec):
        return None

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(b, args[0], x.llvm)
        types_ = [x.llvm, pointer.type, I32, ir.VectorType(ir.IntType(1), x.lanes)]
        fn = _function(b, f"llvm.masked.store.{x.suffix}.p0", ir.VoidType(), types_)
        b.call(fn, [args[1], pointer, I32(x.bits // 8), _mask(b, args[2], x.lanes)])
        return ctx.get_dummy_value()

    return types.void(types.int64, x, types.int64), codegen


@intrinsic
def load_first(typingctx: Any, machine: Any, address: Any, count: Any) -> Any:
    """Load the first `count` lanes, zeros behind them."""
    vec = machine.vec

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(b, args[1], vec.llvm)
        types_ = [pointer.type, I32, ir.VectorType(ir.IntType(1), vec.lanes), vec.llvm]
        fn = _function(b, f"llvm.masked.load.{vec.suffix}.p0", vec.llvm, types_)
        zero = ir.Constant(vec.llvm, None)
        return b.call(fn, [pointer, I32(vec.bits // 8), _mask(b, args[2], vec.lanes), zero])

    return vec(machine, types.int64, types.int64), codegen


@intrinsic
def load_each(typingctx: Any, machine: Any, what: Any, address: Any, stride: Any) -> Any:
    """A tuple of vectors, `stride` bytes apart: as many as the cell has of `what`."""
    if not isinstance(what, types.StringLiteral):
        return None
    vec, count = machine.vec, getattr(machine.shape, what.literal_value)
    result = types.UniTuple(vec, count)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        _, _, address, stride = args
        values = [_load(b, b.add(address, b.mul(stride, I64(i))), vec) for i in range(count)]
        return ctx.make_tuple(b, result, values)

    return result(machine, what, types.int64, types.int64), codegen


@intrinsic
def store_each(typingctx: Any, address: Any, stride: Any, values: Any) -> Any:
    """Store a tuple of vectors, `stride` bytes apart."""
    if not isinstance(values, types.BaseTuple):
        return None

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        address, stride, packed = args
        for i, vec in enumerate(values.types):
            _store(
                b, b.add(address, b.mul(stride, I64(i))), b.extract_value(packed, i), vec.bits // 8
            )
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64, values), codegen


# --- the product ------------------------------------------------------------------------------


@intrinsic
def tile(
    typingctx: Any,
    machine: Any,
    rows: Any,
    wide: Any,
    adjacent: Any,
    a: Any,
    a_step: Any,
    w: Any,
    k: Any,
    start: Any,
    start_step: Any,
    c: Any,
    c_step: Any,
) -> Any:
    """c[r, v] = start[r, v] + sum over k of a[r, k] * w[k, v], all in registers.

    On a bf16 machine each a[r, k] and each element of w[k, v] is a pair, and * their dot product.

    `rows` and `wide` are literals, v counts vectors, w is a packed panel (k, wide, lanes); steps
    are bytes from row to row. With `adjacent` 1 instead of 0, a is packed as (k, rows). Every
    output adds its products in the order of k whatever `rows` is, so that a result does not
    depend on how rows were grouped.
    """
    if not all(isinstance(n, types.IntegerLiteral) for n in (rows, wide, adjacent)):
        return None
    n, m, vec, bf16 = rows.literal_value, wide.literal_value, machine.vec, machine.bf16
    packed = adjacent.literal_value
    args = (machine, rows, wide, adjacent) + (types.int64,) * 8

    def codegen(ctx: Any, b: Any, sig: Any, values: Any) -> Any:
        a, a_step, w, k, start, start_step, c, c_step = values[4:]
        size = vec.bits // 8
        element, factor, add_product = _bf16_product(b, vec) if bf16 else _product(b, vec)
        row = [_pointer(b, b.add(a, b.mul(a_step, I64(r))), element) for r in range(n)]

        def corner(base: Any, step: Any, r: int, v: int) -> Any:
            return b.add(b.add(base, b.mul(step, I64(r))), I64(v * vec.bytes))

        def multiplier(r: int, index: Any) -> Any:
            if packed:
                at = b.add(a, b.mul(index, I64(n * size)))
                return b.load(_pointer(b, b.add(at, I64(r * size)), element))
            return b.load(b.gep(row[r], [index]))

        def panel(at: Any) -> Any:
            value = b.load(_pointer(b, at, factor))
            value.align = size
            return value

        first = [_load(b, corner(start, start_step, r, v), vec) for r in range(n) for v in range(m)]

        def body(index: Any, total: list[Any]) -> list[Any]:
            at = b.add(w, b.mul(index, I64(m * vec.bytes)))
            columns = [panel(b.add(at, I64(v * vec.bytes))) for v in range(m)]
            for r in range(n):
                x = _splat(b, multiplier(r, index), factor)
                for v in range(m):
                    total[r * m + v] = add_product(x, columns[v], total[r * m + v])
            return total

        for i, value in enumerate(_counted(b, k, first, body)):
            _store(b, corner(c, c_step, *divmod(i, m)), value, size)
        return ctx.get_dummy_value()

    return types.void(*args), codegen


def _product(b: Any, vec: Vec) -> tuple[ir.Type, ir.Type, Callable[..., Any]]:
    """The types of an element and of a vector of them, and x * y + z."""
    fma = _function(b, f"llvm.fma.{vec.suffix}", vec.llvm, [vec.llvm] * 3)
    return _element(vec.bits), vec.llvm, lambda x, y, z: b.call(fma, [x, y, z])


def _bf16_product(b: Any, vec: Vec) -> tuple[ir.Type, ir.Type, Callable[..., Any]]:
    """The same for pairs of bfloat16, which are 32-bit integers in memory."""
    pairs = ir.VectorType(BFloat(), 2 * vec.lanes)
    name = "llvm.x86.avx512bf16.dpbf16ps.512"
    dot = _function(b, name, vec.llvm, [vec.llvm, pairs, pairs])

    def add_product(x: Any, y: Any, z: Any) -> Any:
        return b.call(dot, [z, b.bitcast(x, pairs), b.bitcast(y, pairs)])

    return I32, ir.VectorType(I32, vec.lanes), add_product


def _bf16(b: Any, x: Any) -> Any:
    """A vector in bfloat16, rounded to nearest."""
    half = ir.VectorType(BFloat(), x.type.count)
    return b.call(_function(b, "llvm.x86.avx512bf16.cvtneps2bf16.512", half, [x.type]), [x])


@intrinsic
def store_bf16(typingctx: Any, address: Any, stride: Any, values: Any) -> Any:
    """Store a tuple of vectors as bfloat16, `stride` bytes apart."""
    if not isinstance(values, types.BaseTuple):
        return None

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        address, stride, packed = args
        for i in range(len(values)):
            rounded = _bf16(b, b.extract_value(packed, i))
            _store(b, b.add(address, b.mul(stride, I64(i))), rounded, 2)
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64, values), codegen


@intrinsic
def pairs_of(typingctx: Any, first: Any, second: Any) -> Any:
    """Two vectors interleaved as bfloat16: lane i has the pair (first[i], second[i])."""
    if not isinstance(first, Vec):
        return None

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        halves, whole = (ir.VectorType(ir.IntType(n), first.lanes) for n in (16, 32))
        low, high = (b.zext(b.bitcast(_bf16(b, x), halves), whole) for x in args)
        shift = ir.Constant(whole, [16] * first.lanes)
        return b.bitcast(b.or_(low, b.shl(high, shift)), first.llvm)

    return first(first, second), codegen


def _counted(b: Any, k: Any, first: list[Any], body: Callable[..., list[Any]]) -> Any:
    """The values after running `body(index, values)` for index 0 … k-1."""
    before = b.basic_block
    head, work, done = (b.append_basic_block(name) for name in ("k.head", "k.body", "k.done"))
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(I64)
    carried = [b.phi(value.type) for value in first]
    b.cbranch(b.icmp_signed("<", index, k), work, done)
    b.position_at_end(work)
    result = body(index, list(carried))
    following = b.add(index, I64(1))
    b.branch(head)
    for phi, start, end in zip(
        [index, *carried], [I64(0), *first], [following, *result], strict=True
    ):
        phi.add_incoming(start, before)
        phi.add_incoming(end, work)
    b.position_at_end(done)
    return carried


# --- threads ----------------------------------------------------------------------------------


@intrinsic
def fetch_add(typingctx: Any, address: Any, value: Any) -> Any:
    """Add to a shared int64 and return what it was."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.atomic_rmw("add", _pointer(b, args[0], I64), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def peek_shared(typingctx: Any, address: Any) -> Any:
    """Read a shared int64 that other threads write."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.load_atomic(_pointer(b, args[0], I64), "acquire", 8)

    return types.int64(types.int64), codegen


@intrinsic
def pause(typingctx: Any) -> Any:
    """Hint to the processor that this thread is spinning."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        b.call(_function(b, "llvm.x86.sse2.pause", ir.VoidType(), []), [])
        return ctx.get_dummy_value()

    return types.void(), codegen


@intrinsic
def call_int(typingctx: Any, address: Any) -> Any:
    """Call a C function `int f(void)` by its address."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        fnty = ir.FunctionType(I32, [])
        return b.sext(b.call(_pointer(b, args[0], fnty), []), I64)

    return types.int64(types.int64), codegen
