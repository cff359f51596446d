-- For people in psql: search and write a collection by its name. In a multi-tenant one, say first whose rows are meant:
-- BEGIN; SELECT set_config('rag.tenant_id', 'acme', true); ...

-- The k nearest chunks, best first. The filter is the operator language of docs/filters.md, for example
-- '{"year": {"$gte": 2020}}'. distance is lower-better, score higher-better, both as in rag_pgvector.
CREATE OR REPLACE FUNCTION rag.search_chunks(
    collection text, query_vector vector, k integer DEFAULT 4, filter jsonb DEFAULT '{}'
) RETURNS TABLE (
    id text, content text, metadata jsonb, document_id text, source text, page_or_row integer,
    char_start integer, char_end integer, distance double precision, score double precision
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    chosen rag.collections%ROWTYPE;
    operator text;
    no_index text;
    queries text[] := '{}';
BEGIN
    SELECT * INTO chosen FROM rag.collections c WHERE c.name = collection;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection "%" does not exist', collection
            USING ERRCODE = '42704', HINT = 'SELECT name FROM rag.collections';
    END IF;
    IF k IS NULL OR k < 1 THEN
        RAISE EXCEPTION 'k is %', k USING ERRCODE = '22023', HINT = 'Use a whole number from 1.';
    END IF;
    IF vector_dims(query_vector) IS DISTINCT FROM chosen.dimensions THEN
        RAISE EXCEPTION 'the query vector has % dimensions, collection "%" has %',
            vector_dims(query_vector), collection, chosen.dimensions USING ERRCODE = '22000';
    END IF;
    IF coalesce(filter, '{}') <> '{}' THEN
        PERFORM rag.metadata_matches('{}', filter);  -- a malformed filter is an error over no rows, too
    END IF;
    -- k above hnsw.ef_search must not cut the result; and a filter is applied exactly, never after the index has made its choice.
    PERFORM set_config('hnsw.iterative_scan', 'strict_order', true);
    operator := CASE chosen.distance WHEN 'cosine' THEN '<=>' WHEN 'l2' THEN '<->' ELSE '<#>' END;
    FOREACH no_index IN ARRAY ARRAY['', ' + 0'] LOOP
        queries := queries || format(
            'SELECT t.id, t.content, t.metadata, t.document_id, t.source, t.page_or_row, t.char_start, t.char_end, '
            'd.distance, CASE %3$L WHEN ''cosine'' THEN 1 - d.distance WHEN ''l2'' THEN 1 / (1 + d.distance) ELSE -d.distance END '
            'FROM rag.%1$I t CROSS JOIN LATERAL (SELECT (t.embedding %2$s $1::%4$s)::double precision AS distance) d '
            'WHERE t.embedding IS NOT NULL %6$s AND ($3 = ''{}'' OR rag.metadata_matches(t.metadata, $3)) '
            'ORDER BY (t.embedding %2$s $1::%4$s)%5$s LIMIT $2',
            chosen.table_name, operator, chosen.distance, chosen.storage, no_index,
            CASE chosen.tenancy WHEN 'multi' THEN 'AND t.tenant_id = current_setting(''rag.tenant_id'', true)' ELSE '' END);
    END LOOP;
    -- A walk of the index may end early (hnsw.max_scan_tuples). If it brought fewer than k, all rows are compared: the
    -- conditions on count(*) hold for whole arms, so that Postgres runs the second one only then.
    RETURN QUERY EXECUTE CASE WHEN coalesce(filter, '{}') <> '{}' OR chosen.tenancy = 'multi' OR chosen.index_method <> 'hnsw'
        THEN queries[2] ELSE format(
        'WITH walked AS MATERIALIZED (%s), few AS (SELECT count(*) < $2 AS yes FROM walked) '
        'SELECT * FROM walked WHERE NOT (SELECT yes FROM few) UNION ALL '
        'SELECT * FROM (%s) compared WHERE (SELECT yes FROM few) ORDER BY distance',
        queries[1], queries[2]) END
    USING query_vector, k, coalesce(filter, '{}');
END
$$;

-- Adds a chunk or replaces the one of that id. Without an embedding, the row waits for one: it is stored, and a search
-- by vector does not see it.
CREATE OR REPLACE FUNCTION rag.upsert_chunk(
    collection text, id text, content text, metadata jsonb DEFAULT '{}', embedding vector DEFAULT NULL,
    document_id text DEFAULT NULL, source text DEFAULT NULL, page_or_row integer DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    chosen rag.collections%ROWTYPE;
BEGIN
    SELECT * INTO chosen FROM rag.collections c WHERE c.name = collection;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection "%" does not exist', collection
            USING ERRCODE = '42704', HINT = 'SELECT name FROM rag.collections';
    END IF;
    EXECUTE format(
        'INSERT INTO rag.%1$I AS c (%3$s id, content, metadata, embedding, embedding_hash, document_id, source, page_or_row) '
        'VALUES (%4$s $1, $2, $3, $4::%2$s, CASE WHEN $4 IS NOT NULL THEN sha256(convert_to(chr(1) || $2, ''UTF8'')) END, $5, $6, $7) '
        'ON CONFLICT (tenant_id, %5$s id) DO UPDATE SET content = excluded.content, metadata = excluded.metadata, '
        'embedding = coalesce(excluded.embedding, c.embedding), '
        'embedding_hash = coalesce(excluded.embedding_hash, c.embedding_hash), '
        'document_id = excluded.document_id, source = excluded.source, page_or_row = excluded.page_or_row, updated_at = now()',
        chosen.table_name, chosen.storage,
        CASE chosen.tenancy WHEN 'multi' THEN 'tenant_id, scope,' ELSE '' END,
        CASE chosen.tenancy WHEN 'multi' THEN
            'current_setting(''rag.tenant_id'', true), coalesce(current_setting(''rag.scope'', true), ''''),' ELSE '' END,
        CASE chosen.tenancy WHEN 'multi' THEN 'scope,' ELSE '' END)
    USING id, content, metadata, embedding, document_id, source, page_or_row;
END
$$;
