//! Dagster's constructors that only check their arguments, as far as they are known by source.
//!
//! Each entry restates one `__new__`, found by the fingerprint of its source text and of the functions
//! it leans on; a changed source is not found here, and then the constructor is called. Tests give
//! every field of every class values that its constructor may refuse, so an entry that asks too
//! little does not go unseen.

use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult};

use super::known::source_fingerprint;

/// The source of `DagsterRun.__new__`.
pub(super) const DAGSTER_RUN: u64 = 0x089d_563e_837e_abfc;

/// A constructor that is known by its source.
pub(super) struct Known {
    pub source: u64,
    /// Functions of its module that it calls, with their sources.
    calls: &'static [(&'static str, u64)],
    /// Tuple field, parameter, what is asked of it.
    pub slots: &'static [(&'static str, &'static str, Ask)],
}

/// What a constructor asks of an argument; names are of classes in its module.
#[derive(Clone, Copy)]
pub(super) enum Ask {
    Str,
    OptStr,
    OptInt,
    Int,
    Float,
    Bool,
    Dict,
    EmptyList,
    Instance(&'static [&'static str]),
    OptInstance(&'static [&'static str]),
    Metadata,
    Tags,
    OptTags,
    EventData,
    Strings,
    /// A list of strings, kept as it is.
    StringList,
    /// What the class's own annotation of the field asks.
    Annotated,
    /// The same; None becomes a new dict.
    AnnotatedOrDict,
    /// None alone.
    OnlyNone,
}

const NORMALIZE_METADATA: (&str, u64) = ("normalize_metadata", 0xce60_73e1_5b52_3e77);
const TRUNCATE_ERROR: (&str, u64) = ("truncate_event_error_info", 0xf90c_3d6f_14c1_d1cd);
const ASSET_TAGS: [(&str, u64); 2] = [
    ("validate_asset_event_tags", 0x5e7d_d01c_b3a7_409a),
    ("is_system_asset_event_tag", 0x38b7_5aa2_b1a4_2d76),
];

/// Over Dagster 1.13.26 to 1.13.29.
const KNOWN: &[Known] = &[
    Known {
        // EventLogEntry
        source: 0x1a72_07cd_df20_931b,
        calls: &[("coerce_valid_log_level", 0xb536_e6bc_51a9_9535)],
        slots: &[
            (
                "error_info",
                "error_info",
                Ask::OptInstance(&["SerializableErrorInfo"]),
            ),
            ("level", "level", Ask::Int),
            ("user_message", "user_message", Ask::Str),
            ("run_id", "run_id", Ask::Str),
            ("timestamp", "timestamp", Ask::Float),
            ("step_key", "step_key", Ask::OptStr),
            ("job_name", "job_name", Ask::OptStr),
            (
                "dagster_event",
                "dagster_event",
                Ask::OptInstance(&["DagsterEvent"]),
            ),
        ],
    },
    Known {
        // DagsterEvent
        source: 0x1857_5425_91cb_e305,
        calls: &[("_validate_event_specific_data", 0xa2a2_ef11_bb9b_5470)],
        slots: &[
            ("event_type_value", "event_type_value", Ask::Str),
            ("job_name", "job_name", Ask::Str),
            (
                "step_handle",
                "step_handle",
                Ask::OptInstance(&["StepHandle", "ResolvedFromDynamicStepHandle"]),
            ),
            (
                "node_handle",
                "node_handle",
                Ask::OptInstance(&["NodeHandle"]),
            ),
            ("step_kind_value", "step_kind_value", Ask::OptStr),
            ("logging_tags", "logging_tags", Ask::Dict),
            ("event_specific_data", "event_specific_data", Ask::EventData),
            ("message", "message", Ask::OptStr),
            ("pid", "pid", Ask::OptInt),
            ("step_key", "step_key", Ask::OptStr),
        ],
    },
    Known {
        // StepHandle
        source: 0x1d51_772d_f04c_ca5a,
        calls: &[],
        slots: &[
            ("node_handle", "node_handle", Ask::Instance(&["NodeHandle"])),
            ("key", "key", Ask::Str),
        ],
    },
    Known {
        // NodeHandle
        source: 0x1a8f_7764_fa39_4611,
        calls: &[],
        slots: &[
            ("name", "name", Ask::Str),
            ("parent", "parent", Ask::OptInstance(&["NodeHandle"])),
        ],
    },
    Known {
        // StepOutputHandle
        source: 0x1bc1_3b13_17cd_b855,
        calls: &[],
        slots: &[
            ("step_key", "step_key", Ask::Str),
            ("output_name", "output_name", Ask::Str),
            ("mapping_key", "mapping_key", Ask::OptStr),
        ],
    },
    Known {
        // StepOutputData
        source: 0xb210_93d4_0b27_55d1,
        calls: &[NORMALIZE_METADATA],
        slots: &[
            (
                "step_output_handle",
                "step_output_handle",
                Ask::Instance(&["StepOutputHandle"]),
            ),
            (
                "type_check_data",
                "type_check_data",
                Ask::OptInstance(&["TypeCheckData"]),
            ),
            ("version", "version", Ask::OptStr),
            ("metadata", "metadata", Ask::Metadata),
        ],
    },
    Known {
        // TypeCheckData
        source: 0x5ffa_835c_f3c5_9f9a,
        calls: &[NORMALIZE_METADATA],
        slots: &[
            ("success", "success", Ask::Bool),
            ("label", "label", Ask::Str),
            ("description", "description", Ask::OptStr),
            ("metadata", "metadata", Ask::Metadata),
        ],
    },
    Known {
        // StepSuccessData
        source: 0x75bb_4a77_526c_5bb2,
        calls: &[],
        slots: &[("duration_ms", "duration_ms", Ask::Float)],
    },
    Known {
        // HandledOutputData
        source: 0xf51a_71eb_9d3d_1392,
        calls: &[NORMALIZE_METADATA],
        slots: &[
            ("output_name", "output_name", Ask::Str),
            ("manager_key", "manager_key", Ask::Str),
            ("metadata", "metadata", Ask::Metadata),
        ],
    },
    Known {
        // LoadedInputData
        source: 0xfda8_c630_476e_4542,
        calls: &[NORMALIZE_METADATA],
        slots: &[
            ("input_name", "input_name", Ask::Str),
            ("manager_key", "manager_key", Ask::Str),
            ("upstream_output_name", "upstream_output_name", Ask::OptStr),
            ("upstream_step_key", "upstream_step_key", Ask::OptStr),
            ("metadata", "metadata", Ask::Metadata),
        ],
    },
    Known {
        // EngineEventData; a failure's error goes to the constructor, which may shorten it
        source: 0xd8dc_eaed_e076_e8b7,
        calls: &[NORMALIZE_METADATA, TRUNCATE_ERROR],
        slots: &[
            ("metadata", "metadata", Ask::Metadata),
            ("error", "error", Ask::OnlyNone),
            ("marker_start", "marker_start", Ask::OptStr),
            ("marker_end", "marker_end", Ask::OptStr),
        ],
    },
    Known {
        // ComputeLogsCaptureData
        source: 0x9721_a317_8c1d_0840,
        calls: &[],
        slots: &[
            ("file_key", "file_key", Ask::Str),
            ("step_keys", "step_keys", Ask::StringList),
            ("external_url", "external_url", Ask::OptStr),
            ("external_stdout_url", "external_stdout_url", Ask::OptStr),
            ("external_stderr_url", "external_stderr_url", Ask::OptStr),
            (
                "shell_cmd",
                "shell_cmd",
                Ask::OptInstance(&["LogRetrievalShellCommand"]),
            ),
        ],
    },
    Known {
        // AssetMaterializationPlannedData
        source: 0x6a8f_a0e0_1dc8_c4d4,
        calls: &[],
        slots: &[
            ("asset_key", "asset_key", Ask::Instance(&["AssetKey"])),
            ("partition", "partition", Ask::OptStr),
            ("partitions_subset", "partitions_subset", Ask::OnlyNone),
        ],
    },
    Known {
        // AssetCheckEvaluation
        source: 0x61fd_ebdb_8e01_b955,
        calls: &[NORMALIZE_METADATA],
        slots: &[
            ("asset_key", "asset_key", Ask::Annotated),
            ("check_name", "check_name", Ask::Annotated),
            ("passed", "passed", Ask::Annotated),
            ("metadata", "metadata", Ask::Metadata),
            (
                "target_materialization_data",
                "target_materialization_data",
                Ask::Annotated,
            ),
            ("severity", "severity", Ask::Annotated),
            ("description", "description", Ask::Annotated),
            ("blocking", "blocking", Ask::Annotated),
            ("partition", "partition", Ask::Annotated),
        ],
    },
    Known {
        // StepMaterializationData
        source: 0x816b_3fbd_3772_1f8c,
        calls: &[],
        slots: &[
            (
                "materialization",
                "materialization",
                Ask::Instance(&["AssetMaterialization"]),
            ),
            ("asset_lineage", "asset_lineage", Ask::EmptyList),
        ],
    },
    Known {
        // AssetMaterialization
        source: 0x62b5_96da_a817_ae72,
        calls: &[NORMALIZE_METADATA, ASSET_TAGS[0], ASSET_TAGS[1]],
        slots: &[
            ("asset_key", "asset_key", Ask::Instance(&["AssetKey"])),
            ("description", "description", Ask::OptStr),
            ("metadata", "metadata", Ask::Metadata),
            ("partition", "partition", Ask::OptStr),
            ("tags", "tags", Ask::OptTags),
        ],
    },
    Known {
        // AssetObservation
        source: 0x36e7_e013_a57b_a793,
        calls: &[NORMALIZE_METADATA, ASSET_TAGS[0], ASSET_TAGS[1]],
        slots: &[
            ("asset_key", "asset_key", Ask::Instance(&["AssetKey"])),
            ("description", "description", Ask::OptStr),
            ("metadata", "metadata", Ask::Metadata),
            ("partition", "partition", Ask::OptStr),
            ("tags", "tags", Ask::Tags),
        ],
    },
    Known {
        // AssetKey
        source: 0x8f07_6c33_7f59_3178,
        calls: &[],
        slots: &[("parts", "path", Ask::Strings)],
    },
    Known {
        // PathMetadataValue
        source: 0xebf4_01a4_b030_5d18,
        calls: &[],
        slots: &[("fspath", "path", Ask::Str)],
    },
    Known {
        // DagsterRun
        source: DAGSTER_RUN,
        calls: &[],
        slots: &[
            ("job_name", "job_name", Ask::Annotated),
            ("run_id", "run_id", Ask::Annotated),
            ("run_config", "run_config", Ask::Annotated),
            ("asset_selection", "asset_selection", Ask::Annotated),
            (
                "asset_check_selection",
                "asset_check_selection",
                Ask::Annotated,
            ),
            ("op_selection", "op_selection", Ask::Annotated),
            (
                "resolved_op_selection",
                "resolved_op_selection",
                Ask::Annotated,
            ),
            (
                "step_keys_to_execute",
                "step_keys_to_execute",
                Ask::Annotated,
            ),
            ("status", "status", Ask::Annotated),
            ("tags", "tags", Ask::Annotated),
            ("root_run_id", "root_run_id", Ask::Annotated),
            ("parent_run_id", "parent_run_id", Ask::Annotated),
            ("job_snapshot_id", "job_snapshot_id", Ask::Annotated),
            (
                "execution_plan_snapshot_id",
                "execution_plan_snapshot_id",
                Ask::Annotated,
            ),
            ("remote_job_origin", "remote_job_origin", Ask::Annotated),
            ("job_code_origin", "job_code_origin", Ask::Annotated),
            (
                "has_repository_load_data",
                "has_repository_load_data",
                Ask::Annotated,
            ),
            ("run_op_concurrency", "run_op_concurrency", Ask::Annotated),
            ("partitions_subset", "partitions_subset", Ask::OnlyNone),
        ],
    },
    Known {
        // TableColumn
        source: 0x8c2c_73d4_3b2a_b35a,
        calls: &[],
        slots: &[
            ("name", "name", Ask::Annotated),
            ("type", "type", Ask::Annotated),
            ("description", "description", Ask::Annotated),
            ("constraints", "constraints", Ask::Annotated),
            ("tags", "tags", Ask::AnnotatedOrDict),
        ],
    },
    Known {
        // TableColumnConstraints
        source: 0x73d0_a900_cfb1_b483,
        calls: &[],
        slots: &[
            ("nullable", "nullable", Ask::Annotated),
            ("unique", "unique", Ask::Annotated),
            ("other", "other", Ask::Annotated),
        ],
    },
    Known {
        // TableSchema
        source: 0x7038_e397_b5d9_35fb,
        calls: &[],
        slots: &[
            ("columns", "columns", Ask::Annotated),
            ("constraints", "constraints", Ask::Annotated),
        ],
    },
];

/// What `_validate_event_specific_data` asks for, by member of `DagsterEventType`.
pub(super) const EVENT_DATA: &[(&str, &str, bool)] = &[
    ("STEP_OUTPUT", "StepOutputData", false),
    ("STEP_FAILURE", "StepFailureData", false),
    ("STEP_SUCCESS", "StepSuccessData", false),
    ("ASSET_MATERIALIZATION", "StepMaterializationData", false),
    (
        "STEP_EXPECTATION_RESULT",
        "StepExpectationResultData",
        false,
    ),
    ("STEP_INPUT", "StepInputData", false),
    ("ENGINE_EVENT", "EngineEventData", false),
    ("STEP_WORKER_STARTING", "EngineEventData", false),
    ("STEP_WORKER_STARTED", "EngineEventData", false),
    ("RESOURCE_INIT_STARTED", "EngineEventData", false),
    ("RESOURCE_INIT_SUCCESS", "EngineEventData", false),
    ("RESOURCE_INIT_FAILURE", "EngineEventData", false),
    ("HOOK_ERRORED", "HookErroredData", false),
    (
        "ASSET_MATERIALIZATION_PLANNED",
        "AssetMaterializationPlannedData",
        false,
    ),
    (
        "ASSET_CHECK_EVALUATION_PLANNED",
        "AssetCheckEvaluationPlanned",
        false,
    ),
    ("ASSET_CHECK_EVALUATION", "AssetCheckEvaluation", false),
    ("RUN_ENQUEUED", "RunEnqueuedData", true),
    ("CODE_LOCATION_UPDATED", "CodeLocationUpdatedData", true),
];

/// The constructor that a function is, if its source and those of what it calls are known.
pub(super) fn known(new: &Bound<'_, PyAny>) -> PyResult<Option<&'static Known>> {
    let Ok(source) = source_fingerprint(new) else {
        return Ok(None);
    };
    let Some(known) = KNOWN.iter().find(|known| known.source == source) else {
        return Ok(None);
    };
    let Some(globals) = new.getattr_opt("__globals__")? else {
        return Ok(None);
    };
    for (name, source) in known.calls {
        let called = globals.call_method1("get", (name,))?;
        if source_fingerprint(&called).ok() != Some(*source) {
            return Ok(None);
        }
    }
    Ok(Some(known))
}
