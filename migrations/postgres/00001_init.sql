-- The first schema. Ids are text that sorts by age, compared byte by byte (COLLATE "C").
-- Lists, maps and settings are JSON in text columns: nothing is searched inside them.
--
-- An index exists only for a query of internal/store, named beside it. Migrations
-- only go forward: what an older binary needs is dropped one release later.

-- +goose Up
CREATE TABLE agents (
    id         text COLLATE "C" PRIMARY KEY,
    name       text NOT NULL,
    settings   text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    version    bigint NOT NULL
);
-- The list of Agents, newest first.
CREATE INDEX agents_newest ON agents (created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE agent_keys (
    id         text COLLATE "C" PRIMARY KEY,
    agent_id   text COLLATE "C" NOT NULL REFERENCES agents,
    name       text NOT NULL,
    hint       text NOT NULL,
    hash       text COLLATE "C" NOT NULL CONSTRAINT agent_keys_hash UNIQUE,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX agent_keys_agent ON agent_keys (agent_id, created_at, id);

CREATE TABLE connections (
    id              text COLLATE "C" PRIMARY KEY,
    agent_id        text COLLATE "C" NOT NULL REFERENCES agents,
    kind            text NOT NULL,
    mode            text NOT NULL,
    name            text NOT NULL,
    active          boolean NOT NULL,
    fields          text NOT NULL,
    sealed          text NOT NULL,
    set_secrets     text NOT NULL,
    receive_token   text COLLATE "C" NOT NULL CONSTRAINT connections_receive_token UNIQUE,
    status          text NOT NULL,
    checked_at      timestamptz,
    last_error      text NOT NULL,
    last_error_kind text NOT NULL,
    last_error_at   timestamptz,
    next_check_at   timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint NOT NULL
);
CREATE INDEX connections_agent ON connections (agent_id, created_at, id);
-- At most one active connection per Agent and mode.
CREATE UNIQUE INDEX connections_active ON connections (agent_id, mode) WHERE active;
-- The search for connections to check again.
CREATE INDEX connections_check ON connections (next_check_at) WHERE next_check_at IS NOT NULL;

-- What desks remember of their connections. The value is sealed, the key is not.
CREATE TABLE desk_memory (
    connection_id text COLLATE "C" NOT NULL REFERENCES connections ON DELETE CASCADE,
    key           text COLLATE "C" NOT NULL,
    version       bigint NOT NULL,
    sealed        text NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (connection_id, key)
);
-- How many there are, and the oldest, which are forgotten first.
CREATE INDEX desk_memory_oldest ON desk_memory (connection_id, updated_at);

-- Free space in each page lets most updates of the hot tables leave the indexes alone.
CREATE TABLE conversations (
    id              text COLLATE "C" PRIMARY KEY,
    agent_id        text COLLATE "C" NOT NULL REFERENCES agents,
    channel         text NOT NULL,
    user_id         text NOT NULL,
    anonymous_id    text NOT NULL,
    user_name       text NOT NULL,
    email           text NOT NULL,
    phone           text NOT NULL,
    language        text NOT NULL,
    custom_fields   text NOT NULL,
    control         text NOT NULL,
    epoch           bigint NOT NULL CHECK (epoch >= 1),
    open_handoff_id text COLLATE "C",
    last_seq        bigint NOT NULL CHECK (last_seq >= 0),
    version         bigint NOT NULL,
    connection_id   text COLLATE "C" NOT NULL, -- of a desk's messenger; '' = the User is elsewhere
    desk_ref        text COLLATE "C" NOT NULL,
    unanswered_since timestamptz,
    human_seq       bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT conversations_messenger CHECK ((connection_id = '') = (desk_ref = '') AND (unanswered_since IS NULL OR connection_id <> '')),
    -- Exactly one speaker: the desk speaks while a Handoff is open, else the Agent.
    CONSTRAINT conversations_control CHECK (control IN ('AGENT', 'HANDOFF') AND (control = 'HANDOFF') = (open_handoff_id IS NOT NULL))
) WITH (fillfactor = 80);
-- The list of an Agent's conversations, newest first.
CREATE INDEX conversations_newest ON conversations (agent_id, created_at, id);
-- The session of a desk's messenger, and what awaits an answer there: few rows, and
-- only conversations in a messenger ever enter or leave these indexes.
CREATE UNIQUE INDEX conversations_ref ON conversations (connection_id, desk_ref) WHERE connection_id <> '';
CREATE INDEX conversations_unanswered ON conversations (agent_id, unanswered_since, id) WHERE unanswered_since IS NOT NULL;

-- The log. Rows are only ever inserted, by the statement that raises
-- conversations.last_seq, so a foreign key could only repeat what that statement
-- guarantees, at the price of a lookup per event.
CREATE TABLE events (
    conversation_id text COLLATE "C" NOT NULL,
    seq             bigint NOT NULL CHECK (seq >= 1),
    at              timestamptz NOT NULL,
    kind            text NOT NULL,
    author          text NOT NULL,
    handoff_id      text COLLATE "C" NOT NULL,
    key             text COLLATE "C",
    text            text NOT NULL,
    data            text, -- the fields that few events have, as JSON; null = none
    PRIMARY KEY (conversation_id, seq)
);
CREATE UNIQUE INDEX events_key ON events (conversation_id, key) WHERE key IS NOT NULL;

CREATE TABLE handoffs (
    id              text COLLATE "C" PRIMARY KEY,
    conversation_id text COLLATE "C" NOT NULL REFERENCES conversations,
    agent_id        text COLLATE "C" NOT NULL,
    connection_id   text COLLATE "C" NOT NULL,
    desk_kind       text NOT NULL,
    mode            text NOT NULL,
    state           text NOT NULL,
    reason          text NOT NULL,
    desk_ref        text COLLATE "C" NOT NULL,
    desk_begun      boolean NOT NULL,
    email           text NOT NULL,
    note            text NOT NULL,
    summary         text NOT NULL,
    request_seq     bigint NOT NULL,
    context_rounds  bigint NOT NULL,
    email_policy    text NOT NULL,
    email_tries     bigint NOT NULL,
    held_seqs       text NOT NULL,
    operator        text NOT NULL,
    claimed_by      text NOT NULL,
    wait_timeout    bigint NOT NULL,
    session_timeout bigint NOT NULL,
    ask_to_wait     boolean NOT NULL,
    language        text NOT NULL,
    deadline_kind   text NOT NULL,
    deadline_at     timestamptz,
    alarm_at        timestamptz,
    check_at        timestamptz, -- when to ask the desk for missed events; null = never
    caught_up_at    timestamptz, -- nothing before it was missed
    requested_at    timestamptz NOT NULL,
    accepted_at     timestamptz,
    waiting_since   timestamptz,
    connected_at    timestamptz,
    closed_at       timestamptz,
    end_seq         bigint NOT NULL,
    desk_closed     boolean NOT NULL,
    desk_reads_log  boolean NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint NOT NULL,
    CONSTRAINT handoffs_closed CHECK ((state = 'CLOSED') = (closed_at IS NOT NULL) AND (state = 'CLOSED') = (reason <> '')),
    CONSTRAINT handoffs_deadline CHECK ((deadline_kind = '') = (deadline_at IS NULL) AND (state <> 'CLOSED' OR deadline_at IS NULL)),
    -- alarm_at is when to look at the deadline: never later than it, perhaps earlier.
    -- Nearly every message moves or clears the deadline, always to a later time, so
    -- only the alarm is indexed and those updates leave every index alone.
    CONSTRAINT handoffs_alarm CHECK (deadline_at IS NULL OR (alarm_at IS NOT NULL AND alarm_at <= deadline_at))
) WITH (fillfactor = 80);
-- One open handoff per Conversation, and per session at a desk. A desk may use one
-- session for several handoffs, one after the other.
CREATE UNIQUE INDEX handoffs_open ON handoffs (conversation_id) WHERE state <> 'CLOSED';
CREATE UNIQUE INDEX handoffs_open_ref ON handoffs (connection_id, desk_ref) WHERE state <> 'CLOSED' AND desk_ref <> '';
-- The search for due deadlines.
CREATE INDEX handoffs_alarm ON handoffs (alarm_at, id) WHERE alarm_at IS NOT NULL;
-- The search for sessions whose desk is to be asked.
CREATE INDEX handoffs_check ON handoffs (desk_kind, check_at) WHERE check_at IS NOT NULL AND state <> 'CLOSED';
-- The newest with an id at the desk.
CREATE INDEX handoffs_ref ON handoffs (desk_ref, requested_at, id) WHERE desk_ref <> '';
-- Lists by the time of the request: all, of an Agent, of a Conversation, of a
-- connection; the open ones; those that ended for a rare reason.
CREATE INDEX handoffs_newest ON handoffs (requested_at, id);
CREATE INDEX handoffs_agent ON handoffs (agent_id, requested_at, id);
CREATE INDEX handoffs_conversation ON handoffs (conversation_id, requested_at, id);
CREATE INDEX handoffs_connection ON handoffs (connection_id, requested_at, id);
CREATE INDEX handoffs_agent_open ON handoffs (agent_id, requested_at, id) WHERE state <> 'CLOSED';
CREATE INDEX handoffs_reason ON handoffs (agent_id, reason, requested_at, id) WHERE state = 'CLOSED';
-- Those that have ended lately, for the consoles.
CREATE INDEX handoffs_ended ON handoffs (agent_id, closed_at, id) WHERE state = 'CLOSED';

CREATE TABLE operator_notes (
    id         text COLLATE "C" PRIMARY KEY,
    handoff_id text COLLATE "C" NOT NULL REFERENCES handoffs,
    operator   text NOT NULL,
    text       text NOT NULL,
    at         timestamptz NOT NULL
);
CREATE INDEX operator_notes_handoff ON operator_notes (handoff_id, at, id);

-- Lanes and deliveries turn over all the time, so they are vacuumed early.
--
-- ready_at is when the lane may be claimed: it has something to deliver, waits for
-- a retry, or is leased and the lease ends then. Null = nothing to deliver.
CREATE TABLE lanes (
    key         text COLLATE "C" PRIMARY KEY,
    last_seq    bigint NOT NULL,
    done_seq    bigint NOT NULL, -- whatever is not dead comes after it
    ready_at    timestamptz,
    lease_owner text,
    CONSTRAINT lanes_order CHECK (done_seq <= last_seq),
    CONSTRAINT lanes_lease CHECK (lease_owner IS NULL OR ready_at IS NOT NULL)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
-- The search for lanes to claim.
CREATE INDEX lanes_ready ON lanes (ready_at) WHERE ready_at IS NOT NULL;

-- A delivery that arrived is deleted.
CREATE TABLE deliveries (
    lane            text COLLATE "C" NOT NULL,
    lane_seq        bigint NOT NULL,
    id              text COLLATE "C" NOT NULL CONSTRAINT deliveries_id UNIQUE,
    agent_id        text COLLATE "C" NOT NULL,
    connection_id   text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    handoff_id      text COLLATE "C" NOT NULL,
    kind            text NOT NULL,
    event_seq       bigint NOT NULL,
    status          text NOT NULL CHECK (status IN ('PENDING', 'FAILED', 'DEAD')),
    attempts        bigint NOT NULL,
    last_error      text NOT NULL,
    last_error_kind text NOT NULL,
    last_error_at   timestamptz,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (lane, lane_seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
-- Dead letters stay until they are replayed. The others are few: lists of them
-- walk the index of ids, newest first.
CREATE INDEX deliveries_dead ON deliveries (connection_id, id) WHERE status = 'DEAD';
CREATE INDEX deliveries_dead_agent ON deliveries (agent_id, id) WHERE status = 'DEAD';

-- What mutations with an idempotency key made.
CREATE TABLE once (
    scope  text COLLATE "C" NOT NULL,
    key    text COLLATE "C" NOT NULL,
    result text COLLATE "C" NOT NULL,
    at     timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);
