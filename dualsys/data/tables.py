"""The parquet tables of a dataset: rows, episodes, tasks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dualsys.data.info import Feature
from dualsys.data.summaries import Statistics
from dualsys.errors import DatasetError
from dualsys.files import replacing

_COMPRESSION = "snappy"


def row_schema(features: Mapping[str, Feature]) -> pa.Schema:
    """Schema of `data/`: scalars for shape `(1,)`, fixed-size lists for vectors; videos are files of their own."""
    fields = []
    for name, feature in features.items():
        if feature.dtype == "video":
            continue
        kind = pa.type_for_alias(feature.dtype)
        fields.append(pa.field(name, kind if feature.shape == (1,) else pa.list_(kind, feature.shape[0])))
    return pa.schema(fields)


def row_table(schema: pa.Schema, columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    """Rows of one episode from arrays `(n,)` or `(n, m)` by feature name."""
    arrays = []
    for field in schema:
        values = np.ascontiguousarray(columns[field.name])
        if pa.types.is_fixed_size_list(field.type):
            flat = pa.array(values.reshape(-1), type=field.type.value_type)
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type))
        else:
            arrays.append(pa.array(values.reshape(-1), type=field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def write_tables(path: Path, tables: Sequence[pa.Table]) -> None:
    """Write a parquet file atomically, one row group a table (an episode, so that one can be read alone)."""
    with replacing(path) as partial, pq.ParquetWriter(partial, tables[0].schema, compression=_COMPRESSION) as writer:
        for table in tables:
            writer.write_table(table)


def read_table(path: Path, columns: Sequence[str] | None = None, *, without: str | None = None) -> pa.Table:
    """Read a parquet file, or some columns of it, or all but those whose names begin with `without`.

    Raises `DatasetError` where it is missing, damaged or lacks a column.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; copy or record the dataset again")
    try:
        with pq.ParquetFile(path) as file:
            lacking = sorted(set(columns or ()) - set(file.schema_arrow.names))
            if lacking:
                raise DatasetError(f"{path} has no column {lacking}; it has {file.schema_arrow.names}")
            if without is not None:
                columns = [name for name in file.schema_arrow.names if not name.startswith(without)]
            return file.read(columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} is damaged ({error}); copy or record the dataset again") from error


def column_array(table: pa.Table, name: str) -> NDArray[Any]:
    """A column as `(n,)` or `(n, m)`, copied out of Arrow."""
    column = table.column(name).combine_chunks()
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_fixed_size_list(column.type):
        flat = column.flatten().to_numpy(zero_copy_only=False)
        return np.array(flat).reshape(len(column), column.type.list_size)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return np.stack([np.asarray(value) for value in column.to_pylist()])
    return np.array(column.to_numpy(zero_copy_only=False))


def task_table(instructions: Sequence[str]) -> pa.Table:
    """Instructions by task index, as pandas stores a frame whose index they are: that is how LeRobot looks them up."""
    table = pa.table(
        {"task_index": pa.array(range(len(instructions)), pa.int64()), "task": pa.array(instructions, pa.string())}
    )
    text = {"pandas_type": "unicode", "numpy_type": "object"}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [{"name": None, "field_name": None, **text, "metadata": {"encoding": "UTF-8"}}],
        "columns": [
            {
                "name": "task_index",
                "field_name": "task_index",
                "pandas_type": "int64",
                "numpy_type": "int64",
                "metadata": None,
            },
            {"name": "task", "field_name": "task", **text, "metadata": None},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def read_tasks(path: Path) -> list[str]:
    """Instructions in the order of their task index. Raises `DatasetError`."""
    table = read_table(path)
    names = [name for name in ("task", "__index_level_0__") if name in table.column_names]
    if not names or "task_index" not in table.column_names:
        raise DatasetError(f"{path} has columns {table.column_names}, expected task_index and the task as index")
    by_index = dict(zip(table["task_index"].to_pylist(), table[names[0]].to_pylist(), strict=True))
    if sorted(by_index) != list(range(len(by_index))):
        raise DatasetError(f"{path}: task indices are not 0 to {len(by_index) - 1}")
    return [by_index[index] for index in range(len(by_index))]


def statistics_columns(statistics: Mapping[str, Statistics]) -> dict[str, Any]:
    """Columns `stats/<feature>/<name>` of one episode's row."""
    return {
        f"stats/{feature}/{name}": (value.astype(np.int64) if name == "count" else value).tolist()
        for feature, entry in statistics.items()
        for name, value in entry.items()
    }
