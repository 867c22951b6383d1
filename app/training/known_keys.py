"""The keys of training configs that Gradbook knows: where each lands, and what it holds.

The names are those of kohya's sd-scripts and of lora-scripts, its GUI; of PEFT's LoraConfig and Hugging Face's
TrainingArguments, and tools built on them; and Gradbook's own. A key of no column lands in `extraParams` under its own
name, as do all keys that are not known.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a key holds."""

    INTEGER = "a whole number"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    TEXT = "text"


class KnownKey(NamedTuple):
    """A key of a config. `column` is None for what lands in `extraParams`."""

    name: str
    kind: Kind
    column: str | None = None


# Column, what it holds, and the names that it has in configs.
COLUMNS = (
    ("modelName", Kind.TEXT, "model_name output_name"),
    ("modelPath", Kind.TEXT, "model_path pretrained_model_name_or_path model_name_or_path base_model"),
    ("loraRank", Kind.INTEGER, "lora_rank network_dim r lora_r rank"),
    ("loraAlpha", Kind.NUMBER, "lora_alpha network_alpha"),
    ("learningRate", Kind.NUMBER, "learning_rate lr"),
    ("batchSize", Kind.INTEGER, "batch_size train_batch_size per_device_train_batch_size micro_batch_size"),
    ("epochs", Kind.INTEGER, "max_train_epochs num_train_epochs num_epochs"),
    ("trainDataDir", Kind.TEXT, "train_data_dir"),
    ("metadataPath", Kind.TEXT, "metadata_path in_json metadata"),
    ("outputPath", Kind.TEXT, "output_path output_dir"),
    ("logPath", Kind.TEXT, "log_path logging_dir"),
)  # fmt: skip

# Keys without a column whose numbers some tools write as text: "1e-4".
EXTRAS = {
    Kind.INTEGER: (
        "seed clip_skip max_token_length min_bucket_reso max_bucket_reso bucket_reso_steps gradient_accumulation_steps "
        "max_train_steps max_steps lr_scheduler_num_cycles lr_restart_cycles save_every_n_epochs save_every_n_steps "
        "save_last_n_epochs save_last_n_steps save_last_n_epochs_state save_last_n_steps_state save_steps "
        "save_total_limit logging_steps eval_steps per_device_eval_batch_size max_seq_length max_length keep_tokens "
        "max_data_loader_n_workers dataloader_num_workers vae_batch_size conv_dim sample_every_n_epochs "
        "sample_every_n_steps dataset_repeats network_train_seed"
    ),
    Kind.NUMBER: (
        "unet_lr text_encoder_lr prior_loss_weight network_dropout min_snr_gamma noise_offset lr_warmup_steps "
        "warmup_steps warmup_ratio weight_decay lora_dropout adam_beta1 adam_beta2 adam_epsilon max_grad_norm "
        "scale_weight_norms multires_noise_discount multires_noise_iterations adaptive_noise_scale "
        "caption_dropout_rate caption_tag_dropout_rate lr_scheduler_power conv_alpha d_coef guidance_scale "
        "sigmoid_scale discrete_flow_shift huber_c ip_noise_gamma"
    ),
    Kind.BOOLEAN: (
        "enable_bucket network_train_unet_only network_train_text_encoder_only gradient_checkpointing xformers sdpa "
        "cache_latents cache_latents_to_disk lowram save_state log_config use_rslora use_dora fp16 bf16 flip_aug "
        "color_aug random_crop shuffle_caption full_fp16 full_bf16 fp8_base persistent_data_loader_workers"
    ),
    Kind.TEXT: (
        "reg_data_dir resolution network_module network_weights lr_scheduler lr_scheduler_type optimizer_type optim "
        "loss_type mixed_precision save_precision save_model_as resume log_prefix log_with log_tracker_name "
        "wandb_api_key huggingface_token vae ae clip_l t5xxl bias report_to run_name model_train_type"
    ),
}

KNOWN_KEYS = {
    key.name: key
    for key in (
        *(KnownKey(name, kind, column) for column, kind, names in COLUMNS for name in (column, *names.split())),
        *(KnownKey(name, kind) for kind, names in EXTRAS.items() for name in names.split()),
    )
}

# Tables that only group keys, as sd-scripts reads every table: the names that its users and GUIs give them.
_SECTIONS = (
    "general model models model_arguments pretrained_model dataset dataset_arguments data train training "
    "training_arguments trainer network network_arguments additional_network lora lora_config peft "
    "peft_config optimizer optimizer_arguments optimizer_config lr_scheduler_arguments scheduler save save_arguments "
    "saving logging logging_arguments log sample sample_prompt others other advanced precision caption "
    "bucket bucket_arguments cache memory validation sdxl_arguments flux_arguments sd3_arguments noise noise_arguments "
    "additional_network_arguments extraParams"
)
SECTIONS = frozenset(_SECTIONS.split())
