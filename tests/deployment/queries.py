"""What the tests ask Dagster's GraphQL API."""

_ERROR = "... on PythonError { message stack }"

WORKSPACE = """query {
  workspaceLocationEntryOrError(name: "location") {
    ... on WorkspaceLocationEntry { locationOrLoadError { __typename } }
  }
}"""

DAEMONS = """query {
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
}"""

LAUNCH = f"""mutation($parameters: ExecutionParams!) {{
  launchRun(executionParams: $parameters) {{
    __typename ... on LaunchRunSuccess {{ run {{ runId }} }} {_ERROR}
  }}
}}"""

BACKFILL = f"""mutation($parameters: LaunchBackfillParams!) {{
  launchPartitionBackfill(backfillParams: $parameters) {{
    __typename ... on LaunchBackfillSuccess {{ backfillId }} {_ERROR}
  }}
}}"""

BACKFILL_STATE = f"""query($id: String!) {{
  partitionBackfillOrError(backfillId: $id) {{
    __typename
    ... on PartitionBackfill {{
      status numPartitions partitionNames
      runs {{ runId status }}
      assetBackfillData {{ assetBackfillStatuses {{
        ... on AssetPartitionsStatusCounts {{
          assetKey {{ path }}
          numPartitionsTargeted numPartitionsMaterialized numPartitionsFailed
        }}
      }} }}
    }}
    {_ERROR}
  }}
}}"""

WIPE = f"""mutation($ranges: [PartitionsByAssetSelector!]!) {{
  wipeAssets(assetPartitionRanges: $ranges) {{
    __typename ... on UnsupportedOperationError {{ message }} {_ERROR}
  }}
}}"""

START_SCHEDULE = f"""mutation($selector: ScheduleSelector!) {{
  startSchedule(scheduleSelector: $selector) {{ __typename {_ERROR} }}
}}"""

START_SENSOR = f"""mutation($selector: SensorSelector!) {{
  startSensor(sensorSelector: $selector) {{ __typename {_ERROR} }}
}}"""

TICKS = f"""query($selector: InstigationSelector!) {{
  instigationStateOrError(instigationSelector: $selector) {{
    __typename
    ... on InstigationState {{
      status
      ticks(limit: 1000) {{
        tickId status timestamp cursor skipReason runIds runKeys
        requestedAssetKeys {{ path }} error {{ message }}
      }}
    }}
    {_ERROR}
  }}
}}"""

CURSOR = f"""query($selector: InstigationSelector!) {{
  instigationStateOrError(instigationSelector: $selector) {{
    __typename
    ... on InstigationState {{ typeSpecificData {{ ... on SensorData {{ lastCursor }} }} }}
    {_ERROR}
  }}
}}"""

_RUN = """runId status jobName rootRunId parentRunId tags { key value }
  stats { ... on RunStatsSnapshot { enqueuedTime launchTime startTime endTime stepsSucceeded } }
  stepStats { stepKey status startTime endTime }"""

RUNS = f"""query($filter: RunsFilter) {{
  runsOrError(filter: $filter) {{ __typename ... on Runs {{ results {{ {_RUN} }} }} {_ERROR} }}
}}"""

RUN = f"""query($id: ID!) {{
  runOrError(runId: $id) {{ __typename ... on Run {{ {_RUN} }} {_ERROR} }}
}}"""

EVENTS = f"""query($id: ID!, $cursor: String) {{
  logsForRun(runId: $id, afterCursor: $cursor, limit: 10) {{
    __typename
    ... on EventConnection {{
      events {{ __typename ... on MessageEvent {{ message eventType stepKey timestamp }} }}
      cursor hasMore
    }}
    {_ERROR}
  }}
}}"""

ASSET = """query($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    __typename
    ... on AssetNode {
      partitionStats { numMaterialized numPartitions numFailed numMaterializing }
      assetPartitionStatuses {
        ... on DefaultPartitionStatuses { materializedPartitions unmaterializedPartitions }
      }
      assetMaterializations(limit: 50) { runId partition timestamp }
    }
  }
}"""

POOL = """query($key: String!) {
  instance { concurrencyLimit(concurrencyKey: $key) {
    concurrencyKey slotCount limit usingDefaultLimit activeSlotCount pendingStepCount
    assignedStepCount claimedSlots { runId stepKey }
  } }
}"""
