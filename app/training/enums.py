"""The enums of training as GraphQL types."""

from app.graphql.enums import describe_enum
from app.training.config_formats import ConfigFormat as ConfigFormat
from app.training.configs import WarningCode as WarningCode
from app.training.goals import Goal as Goal
from app.training.statistics import TrainTaskDimension as TrainTaskDimension
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
describe_enum(
    Goal,
    "Which way a metric gets better.",
    MINIMIZE="Less is better, as of a loss: a task's best value is its least.",
    MAXIMIZE="More is better, as of an accuracy: a task's best value is its greatest.",
)
describe_enum(
    TrainTaskDimension,
    "By what training tasks are grouped.",
    MODEL_NAME="By `modelName`.",
    MODEL_PATH="By the base model, `modelPath`.",
    LORA_RANK="By `loraRank`; takes bins.",
    LORA_ALPHA="By `loraAlpha`; takes bins.",
    LEARNING_RATE="By `learningRate`; takes bins, without which each value is a group.",
    BATCH_SIZE="By `batchSize`; takes bins.",
    EPOCHS="By `epochs`; takes bins.",
    TRAIN_DATA_DIR="By `trainDataDir`.",
    FINGERPRINT="By `fingerprint`: tasks with equal inputs, as runs of one experiment that differ by chance alone.",
    TAG="By each of `tags`: a task counts in the groups of all its tags.",
    STATUS="By `status`.",
    ATTEMPT="By `attempt`; takes bins.",
    CREATE_USER="By the name of who entered it; those whom the viewer does not see are one group, whose key is null.",
    WORKSPACE="By the name of the workspace.",
    HOST="By `host`.",
    LAUNCHER="By `launcher`.",
    HOURLY_COST="By `hourlyCost`; takes bins.",
    DAY="By the day of `startTime` in UTC, such as 2026-03-20.",
    WEEK="By the week of `startTime` in UTC, as ISO 8601 counts them, such as 2026-W12.",
    MONTH="By the month of `startTime` in UTC, such as 2026-03.",
)
