-- GDPR by construction: what of the database is personal, and what a person, the officer and the law can have done with
-- it. Everything below is driven by the data map; nothing else lists tables.
\ir gdpr/classification.sql
\ir gdpr/data_map.sql
\ir gdpr/access.sql
\ir gdpr/export.sql
\ir gdpr/ledger.sql
\ir gdpr/holds.sql
\ir gdpr/erasure.sql
\ir gdpr/resurrection.sql
\ir gdpr/scrub.sql
\ir gdpr/consents.sql
\ir gdpr/requests.sql
\ir gdpr/restriction.sql
\ir gdpr/retention.sql
\ir gdpr/reports.sql
