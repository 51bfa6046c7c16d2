-- What the law asks of the database: the map of every column, legal holds, and the record of erasures.
--
-- The data map says of every column of every table whether it is about a person, why it is kept, what becomes of it.
-- Export, erasure, retention and the record of processing read it; nothing else lists tables. Its rows are CODE, in
-- db/gdpr/data_map.sql, and every deploy makes them equal to that file.
--
-- An erasure leaves no id behind: the ledger has a keyed hash of it, so that it can be found again by whoever has both
-- the id and the key, and told by nobody else.

-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

CREATE SCHEMA gdpr;
COMMENT ON SCHEMA gdpr IS 'The data map, legal holds, the erasure ledger. For the data protection officer.';

-- The data map -------------------------------------------------------------------------------------------------------

CREATE TABLE gdpr.data_map_tables (
    schema_name text NOT NULL,
    table_name text NOT NULL,
    place smallint NOT NULL,
    category text,
    label text,
    not_personal_because text,
    found_by text NOT NULL DEFAULT 'user_id = $1',
    erased_by text,
    is_erased_first boolean NOT NULL DEFAULT FALSE,
    is_audited boolean NOT NULL,
    audited_because text NOT NULL,
    retention interval,
    retention_from text,
    CONSTRAINT data_map_tables_pk PRIMARY KEY (schema_name, table_name),
    CONSTRAINT data_map_tables_category_check CHECK (category ~ '^[a-z]+(_[a-z]+)*$'),
    CONSTRAINT data_map_tables_personal_check CHECK (
        (category IS NULL) = (not_personal_because IS NOT NULL) AND (category IS NULL) = (label IS NULL)
    ),
    CONSTRAINT data_map_tables_retention_check CHECK ((retention IS NULL) = (retention_from IS NULL))
);
COMMENT ON TABLE gdpr.data_map_tables IS
'Every table of every schema of ours: whose it is, in which category a person finds it, how their rows are found and
erased, for how long it is kept. Belongs to no person; rows are CODE, replaced by every deploy.';
COMMENT ON COLUMN gdpr.data_map_tables.place IS 'Order in an export, categories and tables alike.';
COMMENT ON COLUMN gdpr.data_map_tables.category IS
'In a person''s words, and the name by which it is held or erased alone; null: about nobody.';
COMMENT ON COLUMN gdpr.data_map_tables.label IS 'What a person would call one row of it.';
COMMENT ON COLUMN gdpr.data_map_tables.not_personal_because IS
'Why the table is about nobody; null: it is about somebody.';
COMMENT ON COLUMN gdpr.data_map_tables.found_by IS 'SQL condition, $1 the person''s id, that picks their rows.';
COMMENT ON COLUMN gdpr.data_map_tables.erased_by IS
'Of a log: the function of (user_id uuid, tables text[]) returning how many rows that erases it instead of DELETE. It is
called last in every erasure, with the tables whose traces go, null for all.';
COMMENT ON COLUMN gdpr.data_map_tables.is_erased_first IS
'Before the tables that foreign keys would put first: what signs a person out, and what is found through other tables.';
COMMENT ON COLUMN gdpr.data_map_tables.is_audited IS 'Whether every change is recorded in audit.events.';
COMMENT ON COLUMN gdpr.data_map_tables.audited_because IS 'Why it is audited, or isn''t.';
COMMENT ON COLUMN gdpr.data_map_tables.retention IS
'How long after retention_from a row is kept; null: while there is an account, or as ops.partitioned_tables says.';
COMMENT ON COLUMN gdpr.data_map_tables.retention_from IS 'The column with the time that retention counts from.';

CREATE TABLE gdpr.data_map (
    schema_name text NOT NULL,
    table_name text NOT NULL,
    column_name text NOT NULL,
    category text,
    label text,
    purpose text,
    lawful_basis text,
    recipients text,
    source text,
    retention interval,
    erasure text NOT NULL,
    is_secret boolean NOT NULL DEFAULT FALSE,
    not_exported_because text,
    exported_as text,
    erased_value text,
    CONSTRAINT data_map_pk PRIMARY KEY (schema_name, table_name, column_name),
    CONSTRAINT data_map_table_fk FOREIGN KEY (schema_name, table_name)
    REFERENCES gdpr.data_map_tables (schema_name, table_name),
    CONSTRAINT data_map_erasure_check CHECK (erasure IN ('delete', 'null', 'pseudonymise', 'keep')),
    CONSTRAINT data_map_personal_check CHECK (
        num_nulls(category, label, purpose, lawful_basis, recipients, source) IN (0, 6)
        AND (category IS NOT NULL OR erasure = 'keep')
    ),
    CONSTRAINT data_map_secret_check CHECK (NOT is_secret OR category IS NULL OR not_exported_because IS NOT NULL)
);
COMMENT ON TABLE gdpr.data_map IS
'Every column of every table of ours, classified (GDPR Art. 30). Belongs to no person; rows are CODE, replaced by every
deploy, and gdpr.unclassified_columns() finds what is missing or too much.';
COMMENT ON COLUMN gdpr.data_map.category IS 'The table''s; null: not personal, for the table''s reason.';
COMMENT ON COLUMN gdpr.data_map.label IS 'The key in an export: what a person would call it.';
COMMENT ON COLUMN gdpr.data_map.purpose IS 'Why it is processed (Art. 13(1)(c)).';
COMMENT ON COLUMN gdpr.data_map.lawful_basis IS 'The article that allows it (Art. 6(1)).';
COMMENT ON COLUMN gdpr.data_map.recipients IS 'Who else gets it (Art. 15(1)(c)).';
COMMENT ON COLUMN gdpr.data_map.source IS 'Where it comes from (Art. 15(1)(g)).';
COMMENT ON COLUMN gdpr.data_map.retention IS
'How long it is kept, as of the last deploy; null: while there is an account. gdpr.retention_of() says it as of now.';
COMMENT ON COLUMN gdpr.data_map.erasure IS
'What becomes of it when the person is erased: the row is deleted; or, by the table''s erased_by, the value is nulled,
made to point at nobody, or kept.';
COMMENT ON COLUMN gdpr.data_map.is_secret IS 'Hashes, tokens, keys: never exported, never audited.';
COMMENT ON COLUMN gdpr.data_map.not_exported_because IS 'Null: it is exported.';
COMMENT ON COLUMN gdpr.data_map.exported_as IS
'SQL expression, r the row, that says the same in words a person understands; null: the value itself.';
COMMENT ON COLUMN gdpr.data_map.erased_value IS
'What it becomes where the row has to stay, because rows under a legal hold refer to it.';

-- Legal holds ---------------------------------------------------------------------------------------------------------

-- Foreign keys to a table keep its writers waiting while they are made.
SELECT ops.lock_tables('SHARE ROW EXCLUSIVE', '{pulsex.users}');

CREATE TABLE gdpr.holds (
    user_id uuid NOT NULL,
    hold_id uuid NOT NULL DEFAULT uuidv7(),
    category text NOT NULL,
    reason text NOT NULL,
    erasure_id uuid,
    placed_at timestamptz NOT NULL DEFAULT now(),
    held_until timestamptz,
    released_at timestamptz,
    CONSTRAINT holds_pk PRIMARY KEY (user_id, hold_id),
    CONSTRAINT holds_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT holds_category_check CHECK (category ~ '^[a-z]+(_[a-z]+)*$'),
    CONSTRAINT holds_reason_check CHECK (char_length(reason) BETWEEN 1 AND 500),
    CONSTRAINT holds_held_until_check CHECK (held_until > placed_at)
);
COMMENT ON TABLE gdpr.holds IS
'Categories of a person''s data that must not be erased for now (GDPR Art. 17(3)(e): legal claims).';
COMMENT ON COLUMN gdpr.holds.category IS 'As in gdpr.data_map_tables.';
COMMENT ON COLUMN gdpr.holds.erasure_id IS 'The erasure that waits for this hold to end.';
COMMENT ON COLUMN gdpr.holds.held_until IS 'When it ends by itself; null: when it is released.';
CREATE TRIGGER holds_record_change AFTER INSERT OR UPDATE OR DELETE ON gdpr.holds
FOR EACH ROW EXECUTE FUNCTION audit.record_change('gdpr.holds', '=hold_id');
CREATE INDEX holds_erasure_id_idx ON gdpr.holds (erasure_id) WHERE erasure_id IS NOT NULL;
COMMENT ON INDEX gdpr.holds_erasure_id_idx IS 'gdpr.resume_erasures: those that wait for a hold to end.';

-- Erasures -----------------------------------------------------------------------------------------------------------

CREATE TABLE gdpr.ledger_keys (
    key_id uuid NOT NULL DEFAULT uuidv7(),
    inner_pad bytea NOT NULL,
    outer_pad bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_keys_pk PRIMARY KEY (key_id),
    CONSTRAINT ledger_keys_pads_check CHECK (octet_length(inner_pad) = 64 AND octet_length(outer_pad) = 64)
);
COMMENT ON TABLE gdpr.ledger_keys IS
'The keys under which erased ids are hashed. It is in every dump, so that a restored database knows the ledger''s
hashes; an erasure is entered under every key there is, since the oldest backup knows only the oldest of them.';
COMMENT ON COLUMN gdpr.ledger_keys.inner_pad IS 'The key XOR ipad, HMAC''s first block, ready to hash (RFC 2104).';
COMMENT ON COLUMN gdpr.ledger_keys.outer_pad IS 'The key XOR opad, HMAC''s second block.';

CREATE TABLE gdpr.erasures (
    erasure_id uuid NOT NULL DEFAULT uuidv7(),
    categories text[],
    erased_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    certificate jsonb NOT NULL,
    CONSTRAINT erasures_pk PRIMARY KEY (erasure_id),
    CONSTRAINT erasures_categories_check CHECK (cardinality(categories) > 0),
    CONSTRAINT erasures_certificate_check CHECK (jsonb_typeof(certificate) = 'object')
);
COMMENT ON TABLE gdpr.erasures IS
'What was erased when, without a word about whom: proof of having done it (GDPR Art. 5(2)). Belongs to no person.';
COMMENT ON COLUMN gdpr.erasures.categories IS 'What was to be erased; null: everything.';
COMMENT ON COLUMN gdpr.erasures.completed_at IS 'Null while a legal hold keeps some of it.';
COMMENT ON COLUMN gdpr.erasures.certificate IS 'What gdpr.erase_user() returned, and what was added since.';

CREATE TABLE gdpr.erasure_ledger (
    subject_hash bytea NOT NULL,
    erasure_id uuid NOT NULL,
    key_id uuid NOT NULL,
    CONSTRAINT erasure_ledger_pk PRIMARY KEY (subject_hash, erasure_id),
    CONSTRAINT erasure_ledger_erasure_fk FOREIGN KEY (erasure_id) REFERENCES gdpr.erasures (erasure_id),
    CONSTRAINT erasure_ledger_subject_hash_check CHECK (octet_length(subject_hash) = 32)
);
COMMENT ON TABLE gdpr.erasure_ledger IS
'Whose erasure it was: HMAC-SHA256 of the id under each key there was. Without the key it tells nobody anything.';
COMMENT ON COLUMN gdpr.erasure_ledger.key_id IS 'The key; gdpr.ledger_keys may have forgotten it since.';
CREATE INDEX erasure_ledger_erasure_id_idx ON gdpr.erasure_ledger (erasure_id);
COMMENT ON INDEX gdpr.erasure_ledger_erasure_id_idx IS
'Foreign key erasure_ledger_erasure_fk, and the ledger''s export.';

CREATE TABLE gdpr.scrubs (
    erasure_id uuid NOT NULL,
    relation text NOT NULL,
    scrubbed_at timestamptz,
    CONSTRAINT scrubs_pk PRIMARY KEY (erasure_id, relation),
    CONSTRAINT scrubs_erasure_fk FOREIGN KEY (erasure_id) REFERENCES gdpr.erasures (erasure_id)
);
COMMENT ON TABLE gdpr.scrubs IS
'Relations in whose files an erasure left dead rows, to be rewritten by VACUUM (FULL). Belongs to no person.';
COMMENT ON COLUMN gdpr.scrubs.relation IS 'Schema and name, quoted as PostgreSQL writes them; a partition by its own.';
CREATE INDEX scrubs_relation_idx ON gdpr.scrubs (relation) WHERE scrubbed_at IS NULL;
COMMENT ON INDEX gdpr.scrubs_relation_idx IS 'gdpr.relations_to_scrub and gdpr.record_scrub: what is still due.';

-- Who sees what: the map for those who work with it, all else through the routines of the service ---------------------

GRANT USAGE ON SCHEMA gdpr TO pulsex_service, pulsex_privacy, pulsex_app, pulsex_worker;
GRANT SELECT ON gdpr.data_map_tables, gdpr.data_map TO pulsex_service, pulsex_privacy;
GRANT SELECT, INSERT, UPDATE, DELETE ON gdpr.holds TO pulsex_service;
GRANT SELECT, INSERT, DELETE ON gdpr.ledger_keys TO pulsex_service;
GRANT SELECT, INSERT, UPDATE ON gdpr.erasures, gdpr.scrubs TO pulsex_service;
GRANT SELECT, INSERT ON gdpr.erasure_ledger TO pulsex_service;
-- So that a backup as pulsex_service is whole.
GRANT SELECT ON ops.schema_migrations TO pulsex_service;

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY '{holds,ledger_keys,erasures,erasure_ledger,scrubs}'::text[] LOOP
        EXECUTE format('ALTER TABLE gdpr.%I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format('ALTER TABLE gdpr.%I FORCE ROW LEVEL SECURITY', v_table);
        EXECUTE format(
            'CREATE POLICY service_all ON gdpr.%I TO pulsex_service USING (true) WITH CHECK (true)', v_table
        );
        EXECUTE format('COMMENT ON POLICY service_all ON gdpr.%I IS %L', v_table,
            'Definer routines see every row, and check for themselves whose they touch.');
    END LOOP;
END
$$;

-- migrate:down
-- loses: legal holds, erasure certificates and the ledger
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
SELECT ops.lock_tables('ACCESS EXCLUSIVE', '{pulsex.users}' || array(
    SELECT oid::regclass::text FROM pg_catalog.pg_class
    WHERE relnamespace = 'gdpr'::regnamespace AND relkind = 'r'
    ORDER BY 1
));
REVOKE SELECT ON ops.schema_migrations FROM pulsex_service;
DROP SCHEMA gdpr CASCADE;
