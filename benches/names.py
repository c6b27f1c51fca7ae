"""What the measured storages are called, here and in the table."""

OURS = "LMDB"
SQLITE = "SQLite"
CONSOLIDATED = "consolidated SQLite"
POSTGRES = "Postgres"
MEMORY = "in memory"
EVENT_LOGS = [OURS, SQLITE, CONSOLIDATED, POSTGRES, MEMORY]
