"""The enums of training as GraphQL types."""

from app.graphql.enums import describe_enum
from app.training.config_formats import ConfigFormat as ConfigFormat
from app.training.configs import WarningCode as WarningCode
from app.training.tables import TaskStatus as TaskStatus
from app.training.tables import ValueState as ValueState

describe_enum(
    TaskStatus,
    "Where a training task stands.",
    PENDING="It has not begun; its inputs can be changed.",
    RUNNING="It has begun, and reports.",
    SUCCESS="It ended well.",
    FAILED="It ended with an error. A retry is a new attempt, a task of its own.",
    CANCELED="It was stopped before it ended, or before it began.",
)
describe_enum(
    ValueState,
    "What a value is.",
    FINITE="A number.",
    NAN="Not a number.",
    INFINITE="Beyond all numbers, either way.",
)
describe_enum(
    ConfigFormat,
    "How a training config is written.",
    YAML="YAML, with `1e-4` a number.",
    TOML="TOML, as lora-scripts and kohya's scripts read it.",
    JSON="JSON.",
)
describe_enum(
    WarningCode,
    "What a warning of an import is about.",
    **{code.name: code.value for code in WarningCode},
)
