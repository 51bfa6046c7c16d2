"""The fingerprint of a database: everything in it, from the catalogues, and a digest of every table's rows.

Two databases with the same fingerprint are the same but for what nobody can tell them apart by: OIDs, the order in
which rows lie, a privilege that was granted and taken away again. ``difference`` says how two of them differ.
"""

from __future__ import annotations

from itertools import starmap

import psycopg
from psycopg import sql

Fingerprint = dict[str, str]

ROWS = "rows of"
SETTINGS = {
    "search_path": "",
    "row_security": "off",  # a role that wouldn't see every row gets an error
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "xmloption": "content",
}
OURS = """(
    SELECT oid FROM pg_namespace WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_t'
)"""


def _acl(acl: str, kind: str, owner: str) -> str:
    """Return the SQL of a privilege list in a fixed order; what is granted to the owner alone may be stored as null."""
    return f"array(SELECT a::text FROM unnest(coalesce({acl}, acldefault('{kind}', {owner}))) AS a ORDER BY a::text)"


def _names(roles: str) -> str:
    return f"array(SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END FROM unnest({roles}) AS r ORDER BY 1)"


# Each gives the name of an object and whatever else is to be known of it.
QUERIES = {
    "database": f"""
        SELECT '' AS name, datdba::regrole::text, {_acl("datacl", "d", "datdba")} AS acl, datcollate, datctype,
            datlocprovider, datlocale, encoding, datconnlimit, shobj_description(oid, 'pg_database')
        FROM pg_database WHERE datname = current_database()""",
    "setting": """
        SELECT CASE setrole WHEN 0 THEN 'everybody' ELSE setrole::regrole::text END AS name, setconfig
        FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "extension": """
        SELECT extname AS name, extversion, extnamespace::regnamespace::text, extowner::regrole::text
        FROM pg_extension""",
    "schema": f"""
        SELECT nspname AS name, nspowner::regrole::text, {_acl("nspacl", "n", "nspowner")} AS acl
        FROM pg_namespace WHERE oid IN {OURS}""",
    "relation": f"""
        SELECT c.oid::regclass::text AS name, relkind, relowner::regrole::text, relpersistence, reloptions,
            relrowsecurity, relforcerowsecurity, relreplident, relispartition, reloftype::regtype::text,
            {_acl("relacl", "r", "relowner")} AS acl, pg_get_partkeydef(c.oid) AS partition_key,
            pg_get_expr(relpartbound, c.oid) AS partition_bound, amname, spcname,
            array(SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid ORDER BY inhseqno) AS parents
        FROM pg_class AS c LEFT JOIN pg_am AS m ON m.oid = relam LEFT JOIN pg_tablespace AS s ON s.oid = reltablespace
        WHERE relnamespace IN {OURS} AND relkind NOT IN ('i', 'I', 'S')""",
    "column": f"""
        SELECT format('%s.%I', attrelid::regclass, attname) AS name, format_type(atttypid, atttypmod) AS type,
            row_number() OVER (PARTITION BY attrelid ORDER BY attnum) AS place, attnotnull,
            pg_get_expr(adbin, adrelid) AS value, attidentity, attgenerated, attcollation::regcollation::text,
            attstorage, attcompression, attstattarget, attoptions, attislocal, attinhcount, attfdwoptions,
            array(SELECT a::text FROM unnest(attacl) AS a ORDER BY a::text) AS acl
        FROM pg_attribute INNER JOIN pg_class AS c ON c.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace IN {OURS} AND relkind NOT IN ('S', 't') AND attnum > 0 AND NOT attisdropped""",
    "constraint": f"""
        SELECT format('%I on %s', c.conname, CASE c.conrelid WHEN 0 THEN c.contypid::regtype::text
            ELSE c.conrelid::regclass::text END) AS name, pg_get_constraintdef(c.oid) AS definition, c.contype,
            c.convalidated, c.conenforced, c.conislocal, c.coninhcount, c.connoinherit, parent.conname AS parent
        FROM pg_constraint AS c LEFT JOIN pg_constraint AS parent ON parent.oid = c.conparentid
        WHERE c.connamespace IN {OURS}""",
    "index": f"""
        SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition, indisvalid, indisready,
            indisclustered, indisreplident, indimmediate, indnullsnotdistinct, inhparent::regclass::text AS parent,
            relowner::regrole::text
        FROM pg_index INNER JOIN pg_class AS c ON c.oid = indexrelid LEFT JOIN pg_inherits ON inhrelid = indexrelid
        WHERE relnamespace IN {OURS}""",
    "policy": f"""
        SELECT format('%I on %s', polname, polrelid::regclass) AS name, polcmd, polpermissive,
            {_names("polroles")} AS roles, pg_get_expr(polqual, polrelid) AS using,
            pg_get_expr(polwithcheck, polrelid) AS with_check
        FROM pg_policy""",
    "trigger": """
        SELECT format('%I on %s', tgname, tgrelid::regclass) AS name, pg_get_triggerdef(oid) AS definition, tgenabled
        FROM pg_trigger WHERE NOT tgisinternal""",
    "internal trigger": """
        SELECT format('%s of %I on %s', tgfoid::regproc, conname, tgrelid::regclass) AS name, tgtype, tgenabled
        FROM pg_trigger INNER JOIN pg_constraint AS c ON c.oid = tgconstraint WHERE tgisinternal""",
    "rule": f"""
        SELECT format('%I on %s', rulename, ev_class::regclass) AS name, pg_get_ruledef(r.oid) AS definition, ev_enabled
        FROM pg_rewrite AS r INNER JOIN pg_class AS c ON c.oid = ev_class WHERE relnamespace IN {OURS}""",
    "routine": f"""
        SELECT oid::regprocedure::text AS name, proowner::regrole::text, {_acl("proacl", "f", "proowner")} AS acl,
            prokind, CASE prokind WHEN 'a' THEN prosrc ELSE pg_get_functiondef(oid) END AS definition
        FROM pg_proc WHERE pronamespace IN {OURS}""",
    "type": f"""
        SELECT t.oid::regtype::text AS name, typtype, typowner::regrole::text, {_acl("typacl", "T", "typowner")} AS acl,
            typbasetype::regtype::text, typnotnull, typdefault, typcollation::regcollation::text,
            array(SELECT enumlabel FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder) AS labels,
            rngsubtype::regtype::text
        FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = typrelid LEFT JOIN pg_range ON rngtypid = t.oid
        WHERE typnamespace IN {OURS} AND typelem = 0 AND coalesce(relkind, 'c') = 'c'""",
    "sequence": f"""
        SELECT seqrelid::regclass::text AS name, seqtypid::regtype::text, seqstart, seqincrement, seqmax, seqmin,
            seqcache, seqcycle, pg_sequence_last_value(seqrelid), relowner::regrole::text,
            {_acl("relacl", "s", "relowner")} AS acl,
            array(SELECT format('%s.%s', refobjid::regclass, refobjsubid) FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND deptype IN ('a', 'i')) AS owned_by
        FROM pg_sequence INNER JOIN pg_class AS c ON c.oid = seqrelid WHERE relnamespace IN {OURS}""",
    "comment": """
        SELECT format('%s %s', o.type, o.identity) AS name, description
        FROM pg_description AS d, pg_identify_object(classoid, objoid, objsubid) AS o WHERE objoid >= 16384""",
    "label": """
        SELECT format('%s %s', objtype, objname) AS name, provider, label FROM pg_seclabels""",
    "default privilege": """
        SELECT format('%s in %s for %s', defaclobjtype, coalesce(nspname, 'every schema'), defaclrole::regrole) AS name,
            array(SELECT a::text FROM unnest(defaclacl) AS a ORDER BY a::text) AS acl
        FROM pg_default_acl LEFT JOIN pg_namespace AS n ON n.oid = defaclnamespace""",
    "statistics": """
        SELECT format('%I.%I', stxnamespace::regnamespace, stxname) AS name, pg_get_statisticsobjdef(oid) AS definition,
            stxstattarget, stxowner::regrole::text
        FROM pg_statistic_ext""",
    "event trigger": """
        SELECT evtname AS name, evtevent, evtenabled, evtfoid::regproc::text, evttags, evtowner::regrole::text
        FROM pg_event_trigger""",
    "large object": """
        SELECT oid::text AS name, lomowner::regrole::text, lomacl::text, md5(lo_get(oid))
        FROM pg_largeobject_metadata""",
    "system privilege": """
        SELECT oid::regprocedure::text AS name, proacl::text FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proacl IS NOT NULL
        UNION ALL
        SELECT oid::regclass::text, relacl::text FROM pg_class
        WHERE relnamespace = 'pg_catalog'::regnamespace AND relacl IS NOT NULL""",
    "other": """
        SELECT o.type || ' ' || o.identity AS name
        FROM (
            SELECT tableoid, oid FROM pg_cast UNION ALL SELECT tableoid, oid FROM pg_operator
            UNION ALL SELECT tableoid, oid FROM pg_opclass UNION ALL SELECT tableoid, oid FROM pg_collation
            UNION ALL SELECT tableoid, oid FROM pg_conversion UNION ALL SELECT tableoid, oid FROM pg_language
            UNION ALL SELECT tableoid, oid FROM pg_foreign_data_wrapper
            UNION ALL SELECT tableoid, oid FROM pg_foreign_server UNION ALL SELECT tableoid, oid FROM pg_publication
            UNION ALL SELECT tableoid, oid FROM pg_ts_config UNION ALL SELECT tableoid, oid FROM pg_ts_dict
            UNION ALL SELECT tableoid, oid FROM pg_transform UNION ALL SELECT tableoid, oid FROM pg_am
        ) AS made, pg_identify_object(made.tableoid, made.oid, 0) AS o
        WHERE made.oid >= 16384""",
}
TABLES = f"SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN {OURS} AND relkind IN ('r', 'm') ORDER BY 1"
DIGEST = "SELECT %s, count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM ONLY {} AS t"


def take(connection: psycopg.Connection) -> Fingerprint:
    """Return the fingerprint of the database that ``connection`` sees: kind and name of each object to what it is.

    The connection is a superuser's, or that of a role which sees all rows; psycopg.errors.InsufficientPrivilege for one
    that row level security would hide some from. A transaction under way is seen as it is, and left so.
    """
    with connection.transaction(force_rollback=True):
        for name, value in SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, true)", [name, value])
        everything = " UNION ALL ".join(
            f"SELECT format('%s %s', '{kind}', name), (to_jsonb(q) - 'name')::text FROM ({query}) AS q"
            for kind, query in QUERIES.items()
        )
        fingerprint = dict(connection.execute(everything).fetchall())
        tables = [table for (table,) in connection.execute(TABLES).fetchall()]
        digests = " UNION ALL ".join(DIGEST.format(table).replace("%s", _literal(table), 1) for table in tables)
        if digests:
            for table, count, digest in connection.execute(digests).fetchall():
                fingerprint[f"{ROWS} {table}"] = f"{count}, digest {digest}"
        return fingerprint


def _literal(text: str) -> str:
    return sql.Literal(text).as_string() + "::text"


def difference(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Return a line for each object that is only in one of two fingerprints, or isn't the same in both."""

    def line(name: str, have: str | None, want: str | None) -> str:
        if have is None:
            return f"+ {name}: {want}"
        return f"- {name}: {have}" if want is None else f"~ {name}: {have} -> {want}"

    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return list(starmap(line, [(name, before.get(name), after.get(name)) for name in names]))


def rows(fingerprint: Fingerprint) -> Fingerprint:
    """Return the part of a fingerprint that tells of tables that have rows."""
    return {name: said for name, said in fingerprint.items() if name.startswith(ROWS) and not said.startswith("0,")}
