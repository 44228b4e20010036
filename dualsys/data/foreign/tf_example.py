"""`tf.train.Example`, the message that a record of a TFRecord file is: named lists of bytes, floats or integers.

The messages are described here rather than generated, so that neither TensorFlow nor a compiler is needed. Source:
tensorflow/core/example/{example,feature}.proto.
"""

import importlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.errors import DatasetError, ExtraMissing

Values = NDArray[np.float32] | NDArray[np.int64] | list[bytes]


def read_example(data: bytes, where: str) -> dict[str, Values]:
    """Each feature's values, flat. One that was written without any is left out.

    Raises `DatasetError` where the data is no such message, `ExtraMissing` without protobuf.
    """
    example = _example_class()()
    try:
        example.ParseFromString(data)
    except Exception as error:  # protobuf's own DecodeError, whose module differs between its implementations
        raise DatasetError(f"{where} is no tf.train.Example ({error}); copy the file again") from error
    found: dict[str, Values] = {}
    for name, feature in example.features.feature.items():
        match feature.WhichOneof("kind"):
            case "bytes_list":
                found[name] = list(feature.bytes_list.value)
            case "float_list":
                found[name] = np.array(feature.float_list.value, np.float32)
            case "int64_list":
                found[name] = np.array(feature.int64_list.value, np.int64)
    return found


@cache
def _example_class() -> Any:
    """The class of the message."""
    try:
        descriptor_pb2 = importlib.import_module("google.protobuf.descriptor_pb2")
        descriptor_pool = importlib.import_module("google.protobuf.descriptor_pool")
        message_factory = importlib.import_module("google.protobuf.message_factory")
    except ImportError as error:
        raise ExtraMissing("reading RLDS datasets needs protobuf: pip install 'dualsys[import]'") from error
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="dualsys/example.proto", package="tensorflow", syntax="proto3")
    for name, kind in (
        ("BytesList", kinds.TYPE_BYTES),
        ("FloatList", kinds.TYPE_FLOAT),
        ("Int64List", kinds.TYPE_INT64),
    ):
        message = file.message_type.add(name=name)
        message.field.add(name="value", number=1, type=kind, label=kinds.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes", "float", "int64"), start=1):
        _submessage(feature, f"{name}_list", number, f"{name.capitalize()}List").oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    _submessage(entry, "value", 2, "Feature")
    _submessage(features, "feature", 1, "Features.FeatureEntry").label = kinds.LABEL_REPEATED
    _submessage(file.message_type.add(name="Example"), "features", 1, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def _submessage(message: Any, name: str, number: int, kind: str) -> Any:
    return message.field.add(
        name=name, number=number, type=11, label=1, type_name=f".tensorflow.{kind}"
    )  # TYPE_MESSAGE, LABEL_OPTIONAL
