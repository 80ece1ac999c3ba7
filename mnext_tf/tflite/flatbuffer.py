"""FlatBuffers by a table of their fields, and .tflite files as objects that can be changed."""

from __future__ import annotations

import functools
import struct

import flatbuffers
import numpy as np
from flatbuffers import number_types as numbers
from flatbuffers.table import Table

from mnext_tf.errors import ExportError

# A schema: table -> its fields in order of their slots, (name, type) or None for one passed over. A type is
# "string", "bytes", one of _SCALARS, another table, [table] or [one of _VECTORS] for a vector, or {number: table} for a
# union, of two slots.
Schema = dict[str, list]

_SCALARS = {
    "byte": ("PrependInt8Slot", numbers.Int8Flags),
    "bool": ("PrependBoolSlot", numbers.BoolFlags),
    "int": ("PrependInt32Slot", numbers.Int32Flags),
    "float": ("PrependFloat32Slot", numbers.Float32Flags),
}
_VECTORS = {"float": "<f4", "uint": "<u4"}


def encode(schema: Schema, name: str, value: dict, identifier: bytes) -> bytes:
    """The FlatBuffer of table `name`. Fields that are missing or None are left out; a union is (number, fields)."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, schema, name, value), file_identifier=identifier)
    return bytes(builder.Output())


def decode(schema: Schema, name: str, data: bytes, identifier: bytes) -> dict:
    """What `encode` took. Raises ValueError for data that is no such FlatBuffer."""
    if len(data) < 8 or data[4:8] != identifier:
        raise ValueError(f"is no FlatBuffer with the identifier {identifier.decode()}")
    try:
        return _read_table(schema, name, Table(data, int.from_bytes(data[:4], "little")))
    except (IndexError, TypeError, RecursionError, struct.error) as e:  # offsets to beyond the end, or in circles
        raise ValueError(f"is damaged ({e})") from e


def _table(builder, schema: Schema, name: str, value: dict) -> int:
    slots = []
    for field in schema[name]:
        given, kind = (None, "byte") if field is None else (value.get(field[0]), field[1])
        if isinstance(kind, dict):
            number, inner = given or (0, None)
            slots += [("byte", number or None), ("offset", number and _table(builder, schema, kind[number], inner))]
        elif given is None or _is_scalar(kind):
            slots.append((kind, given))
        else:
            slots.append(("offset", _offset(builder, schema, kind, given)))
    builder.StartObject(len(slots))
    for slot, (kind, given) in enumerate(slots):
        if given and kind == "offset":
            builder.PrependUOffsetTRelativeSlot(slot, given, 0)
        elif given:
            getattr(builder, _SCALARS[kind][0])(slot, given, 0)
    return builder.EndObject()


def _is_scalar(kind) -> bool:
    return isinstance(kind, str) and kind in _SCALARS


def _offset(builder, schema: Schema, kind, value) -> int:
    """Where a string, table or vector was written."""
    if kind == "string":
        return builder.CreateString(value)
    if kind == "bytes":
        builder.StartVector(1, len(value), 16)  # it holds a FlatBuffer, whose readers want it aligned
        builder.head -= len(value)
        builder.Bytes[builder.head : builder.head + len(value)] = value
        return builder.EndVector()
    if isinstance(kind, str):
        return _table(builder, schema, kind, value)
    if kind[0] in _VECTORS:
        return builder.CreateNumpyVector(np.asarray(value, _VECTORS[kind[0]]))
    offsets = [_table(builder, schema, kind[0], element) for element in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _read_table(schema: Schema, name: str, table: Table) -> dict:
    found, slot = {}, 0
    for field in schema[name]:
        key, kind = field or (None, None)
        at = table.Offset(4 + 2 * slot)
        if isinstance(kind, dict):
            number = table.Get(numbers.Uint8Flags, at + table.Pos) if at else 0
            at = table.Offset(4 + 2 * (slot + 1))
            if at and number in kind:
                inner = Table(table.Bytes, table.Indirect(at + table.Pos))
                found[key] = (number, _read_table(schema, kind[number], inner))
            slot += 1
        elif key and at:
            found[key] = _read_value(schema, kind, table, at)
        slot += 1
    return found


def _read_value(schema: Schema, kind, table: Table, at: int):
    if kind == "string":
        return table.String(at + table.Pos).decode("utf-8")
    if _is_scalar(kind):
        return table.Get(_SCALARS[kind][1], at + table.Pos)
    if isinstance(kind, str) and kind != "bytes":
        return _read_table(schema, kind, Table(table.Bytes, table.Indirect(at + table.Pos)))
    start, count = table.Vector(at), table.VectorLen(at)
    if kind == "bytes":
        return bytes(table.Bytes[start : start + count])
    if kind[0] in _VECTORS:
        return np.frombuffer(table.Bytes, _VECTORS[kind[0]], count, start).tolist()
    return [_read_table(schema, kind[0], Table(table.Bytes, table.Indirect(start + 4 * i))) for i in range(count)]


def read_model(data: bytes):
    """A .tflite file as the schema's object `ModelT`. Raises ExportError where it is none."""
    from ai_edge_litert import schema_py_generated as schema

    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ExportError("This is no .tflite file: it lacks the identifier TFL3.")
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def write_model(model) -> bytes:
    """The bytes of a `ModelT`. Weights begin at multiples of 16, as the schema asks and its Python code does not do."""

    class Aligned(flatbuffers.Builder):
        def StartVector(self, elemSize, numElems, alignment):
            return super().StartVector(elemSize, numElems, 16 if elemSize == 1 else alignment)

    builder = Aligned(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def add_tensor(graph, name: str, shape, kind: int, quantization=None) -> int:
    """Index of a new tensor without content in a subgraph of a `ModelT`."""
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, 0
    tensor.quantization = quantization
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def set_content(tree, tensor, values: np.ndarray) -> None:
    """Make `values` the content of a tensor of the `ModelT` tree; others that had the same keep it."""
    from ai_edge_litert import schema_py_generated as schema

    users = sum(other.buffer == tensor.buffer for other in tree.subgraphs[0].tensors)
    if tensor.buffer == 0 or users > 1:  # 0 stands for no content, and the converter joins equal ones
        tree.buffers.append(schema.BufferT())
        tensor.buffer = len(tree.buffers) - 1
    tree.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)


def operator_kind(tree, operator) -> str:
    """CONV_2D and so on, of an operator of the `ModelT` tree."""
    return _kinds()[_builtin(tree.operatorCodes[operator.opcodeIndex])]


def make_operator(tree, name: str, inputs: list[int], outputs: list[int], version: int = 1, custom: bool = False):
    """An operator for a subgraph of the `ModelT` tree, such as "DEQUANTIZE"; the caller puts it into the order."""
    from ai_edge_litert import schema_py_generated as schema

    number = getattr(schema.BuiltinOperator, "CUSTOM" if custom else name)
    wanted = (number, name.encode() if custom else None, version)
    known = [(_builtin(code), code.customCode, code.version) for code in tree.operatorCodes]
    if wanted not in known:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.customCode, code.version = wanted[1:]
        tree.operatorCodes.append(code)
        known.append(wanted)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = known.index(wanted), inputs, outputs
    return operator


def _builtin(code) -> int:
    return max(code.builtinCode, code.deprecatedBuiltinCode)


@functools.cache
def _kinds() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return {number: name for name, number in vars(schema.BuiltinOperator).items()}
