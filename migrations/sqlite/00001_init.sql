-- The same schema as for Postgres, where the reasons stand. Times are integers:
-- microseconds since 1970 UTC. Booleans are 0 and 1.

-- +goose Up
CREATE TABLE agents (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    settings   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    version    INTEGER NOT NULL
) STRICT;
CREATE INDEX agents_newest ON agents (created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE agent_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    agent_id   TEXT    NOT NULL REFERENCES agents,
    name       TEXT    NOT NULL,
    hint       TEXT    NOT NULL,
    hash       TEXT    NOT NULL CONSTRAINT agent_keys_hash UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX agent_keys_agent ON agent_keys (agent_id, created_at, id);

CREATE TABLE connections (
    id              TEXT    NOT NULL PRIMARY KEY,
    agent_id        TEXT    NOT NULL REFERENCES agents,
    kind            TEXT    NOT NULL,
    mode            TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    active          INTEGER NOT NULL,
    fields          TEXT    NOT NULL,
    sealed          TEXT    NOT NULL,
    set_secrets     TEXT    NOT NULL,
    receive_token   TEXT    NOT NULL CONSTRAINT connections_receive_token UNIQUE,
    status          TEXT    NOT NULL,
    checked_at      INTEGER,
    last_error      TEXT    NOT NULL,
    last_error_kind TEXT    NOT NULL,
    last_error_at   INTEGER,
    next_check_at   INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT;
CREATE INDEX connections_agent ON connections (agent_id, created_at, id);
CREATE UNIQUE INDEX connections_active ON connections (agent_id, mode) WHERE active;
CREATE INDEX connections_check ON connections (next_check_at) WHERE next_check_at IS NOT NULL;

CREATE TABLE desk_memory (
    connection_id TEXT    NOT NULL REFERENCES connections ON DELETE CASCADE,
    key           TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    sealed        TEXT    NOT NULL,
    updated_at    INTEGER NOT NULL,
    PRIMARY KEY (connection_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX desk_memory_oldest ON desk_memory (connection_id, updated_at);

CREATE TABLE conversations (
    id              TEXT    NOT NULL PRIMARY KEY,
    agent_id        TEXT    NOT NULL REFERENCES agents,
    channel         TEXT    NOT NULL,
    user_id         TEXT    NOT NULL,
    anonymous_id    TEXT    NOT NULL,
    user_name       TEXT    NOT NULL,
    email           TEXT    NOT NULL,
    phone           TEXT    NOT NULL,
    language        TEXT    NOT NULL,
    custom_fields   TEXT    NOT NULL,
    control         TEXT    NOT NULL,
    epoch           INTEGER NOT NULL CHECK (epoch >= 1),
    open_handoff_id TEXT,
    last_seq        INTEGER NOT NULL CHECK (last_seq >= 0),
    version         INTEGER NOT NULL,
    connection_id   TEXT    NOT NULL,
    desk_ref        TEXT    NOT NULL,
    unanswered_since INTEGER,
    human_seq       INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    CONSTRAINT conversations_messenger CHECK ((connection_id = '') = (desk_ref = '') AND (unanswered_since IS NULL OR connection_id <> '')),
    CONSTRAINT conversations_control CHECK (control IN ('AGENT', 'HANDOFF') AND (control = 'HANDOFF') = (open_handoff_id IS NOT NULL))
) STRICT;
CREATE INDEX conversations_newest ON conversations (agent_id, created_at, id);
CREATE UNIQUE INDEX conversations_ref ON conversations (connection_id, desk_ref) WHERE connection_id <> '';
CREATE INDEX conversations_unanswered ON conversations (agent_id, unanswered_since, id) WHERE unanswered_since IS NOT NULL;

CREATE TABLE events (
    conversation_id TEXT    NOT NULL,
    seq             INTEGER NOT NULL CHECK (seq >= 1),
    at              INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    author          TEXT    NOT NULL,
    handoff_id      TEXT    NOT NULL,
    key             TEXT,
    text            TEXT    NOT NULL,
    data            TEXT,
    PRIMARY KEY (conversation_id, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX events_key ON events (conversation_id, key) WHERE key IS NOT NULL;

CREATE TABLE handoffs (
    id              TEXT    NOT NULL PRIMARY KEY,
    conversation_id TEXT    NOT NULL REFERENCES conversations,
    agent_id        TEXT    NOT NULL,
    connection_id   TEXT    NOT NULL,
    desk_kind       TEXT    NOT NULL,
    mode            TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    reason          TEXT    NOT NULL,
    desk_ref        TEXT    NOT NULL,
    desk_begun      INTEGER NOT NULL,
    email           TEXT    NOT NULL,
    note            TEXT    NOT NULL,
    summary         TEXT    NOT NULL,
    request_seq     INTEGER NOT NULL,
    context_rounds  INTEGER NOT NULL,
    email_policy    TEXT    NOT NULL,
    email_tries     INTEGER NOT NULL,
    held_seqs       TEXT    NOT NULL,
    operator        TEXT    NOT NULL,
    claimed_by      TEXT    NOT NULL,
    wait_timeout    INTEGER NOT NULL,
    session_timeout INTEGER NOT NULL,
    ask_to_wait     INTEGER NOT NULL,
    language        TEXT    NOT NULL,
    deadline_kind   TEXT    NOT NULL,
    deadline_at     INTEGER,
    alarm_at        INTEGER,
    check_at        INTEGER,
    caught_up_at    INTEGER,
    requested_at    INTEGER NOT NULL,
    accepted_at     INTEGER,
    waiting_since   INTEGER,
    connected_at    INTEGER,
    closed_at       INTEGER,
    end_seq         INTEGER NOT NULL,
    desk_closed     INTEGER NOT NULL,
    desk_reads_log  INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    CONSTRAINT handoffs_closed CHECK ((state = 'CLOSED') = (closed_at IS NOT NULL) AND (state = 'CLOSED') = (reason <> '')),
    CONSTRAINT handoffs_deadline CHECK ((deadline_kind = '') = (deadline_at IS NULL) AND (state <> 'CLOSED' OR deadline_at IS NULL)),
    CONSTRAINT handoffs_alarm CHECK (deadline_at IS NULL OR (alarm_at IS NOT NULL AND alarm_at <= deadline_at))
) STRICT;
CREATE UNIQUE INDEX handoffs_open ON handoffs (conversation_id) WHERE state <> 'CLOSED';
CREATE UNIQUE INDEX handoffs_open_ref ON handoffs (connection_id, desk_ref) WHERE state <> 'CLOSED' AND desk_ref <> '';
CREATE INDEX handoffs_alarm ON handoffs (alarm_at, id) WHERE alarm_at IS NOT NULL;
CREATE INDEX handoffs_check ON handoffs (desk_kind, check_at) WHERE check_at IS NOT NULL AND state <> 'CLOSED';
CREATE INDEX handoffs_ref ON handoffs (desk_ref, requested_at, id) WHERE desk_ref <> '';
CREATE INDEX handoffs_newest ON handoffs (requested_at, id);
CREATE INDEX handoffs_agent ON handoffs (agent_id, requested_at, id);
CREATE INDEX handoffs_conversation ON handoffs (conversation_id, requested_at, id);
CREATE INDEX handoffs_connection ON handoffs (connection_id, requested_at, id);
CREATE INDEX handoffs_agent_open ON handoffs (agent_id, requested_at, id) WHERE state <> 'CLOSED';
CREATE INDEX handoffs_reason ON handoffs (agent_id, reason, requested_at, id) WHERE state = 'CLOSED';
CREATE INDEX handoffs_ended ON handoffs (agent_id, closed_at, id) WHERE state = 'CLOSED';

CREATE TABLE operator_notes (
    id         TEXT    NOT NULL PRIMARY KEY,
    handoff_id TEXT    NOT NULL REFERENCES handoffs,
    operator   TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    at         INTEGER NOT NULL
) STRICT;
CREATE INDEX operator_notes_handoff ON operator_notes (handoff_id, at, id);

CREATE TABLE lanes (
    key         TEXT    NOT NULL PRIMARY KEY,
    last_seq    INTEGER NOT NULL,
    done_seq    INTEGER NOT NULL,
    ready_at    INTEGER,
    lease_owner TEXT,
    CONSTRAINT lanes_order CHECK (done_seq <= last_seq),
    CONSTRAINT lanes_lease CHECK (lease_owner IS NULL OR ready_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX lanes_ready ON lanes (ready_at) WHERE ready_at IS NOT NULL;

CREATE TABLE deliveries (
    lane            TEXT    NOT NULL,
    lane_seq        INTEGER NOT NULL,
    id              TEXT    NOT NULL CONSTRAINT deliveries_id UNIQUE,
    agent_id        TEXT    NOT NULL,
    connection_id   TEXT    NOT NULL,
    conversation_id TEXT    NOT NULL,
    handoff_id      TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    event_seq       INTEGER NOT NULL,
    status          TEXT    NOT NULL CHECK (status IN ('PENDING', 'FAILED', 'DEAD')),
    attempts        INTEGER NOT NULL,
    last_error      TEXT    NOT NULL,
    last_error_kind TEXT    NOT NULL,
    last_error_at   INTEGER,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (lane, lane_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_dead ON deliveries (connection_id, id) WHERE status = 'DEAD';
CREATE INDEX deliveries_dead_agent ON deliveries (agent_id, id) WHERE status = 'DEAD';

CREATE TABLE once (
    scope  TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    result TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
